"""What stands at payouts' destinations: the chain is asked before they are judged (CHAIN 4)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chain import standing
from chain.endpoints import Endpoints
from core.context import Context
from core.errors import ChainError
from payments.payout_tables import Payout
from risk.addresses import kind_of
from risk.rules import AddressKind

log = structlog.get_logger()

PATIENCE_SECONDS = 3.0  # payouts may wait no longer for what is only one of the rules' conditions


async def ask(
    context: Context, endpoints: Mapping[str, Endpoints], payout_ids: Sequence[UUID]
) -> None:
    """Stores what the nodes say now, with no transaction open meanwhile. A node that does not
    answer leaves what it said before, or nothing: that is judged as unknown, never guessed."""
    async with context.database.read() as session:
        query = select(Payout.network, Payout.address, Payout.address_kind).where(
            Payout.id.in_(payout_ids), Payout.network.in_(list(endpoints))
        )
        rows = (await session.execute(query)).all()
    before = {(row[0], row[1]): row[2] for row in rows}
    addresses: defaultdict[str, set[str]] = defaultdict(set)
    for network, address in before:
        addresses[network].add(address)
    said = await asyncio.gather(*(_kinds(endpoints[n], some) for n, some in addresses.items()))
    changed = [
        (network, address, kind)
        for network, kinds in zip(addresses, said, strict=True)
        for address, kind in kinds.items()
        if before[network, address] != kind
    ]
    if not changed:
        return
    async with context.database.begin() as session:
        for network, address, kind in changed:
            mine = Payout.id.in_(payout_ids) & (Payout.network == network)
            await session.execute(
                update(Payout).where(mine, Payout.address == address).values(address_kind=kind)
            )


async def last_known(
    session: AsyncSession, merchant_id: UUID, network: str, address: str
) -> AddressKind | None:
    """As the chain said of the merchant's last payout there: a request asks no node."""
    query = (
        select(Payout.address_kind)
        .where(
            Payout.merchant_id == merchant_id,
            Payout.network == network,
            Payout.address == address,
            Payout.address_kind.is_not(None),
        )
        .order_by(Payout.id.desc())
        .limit(1)
    )
    found = await session.scalar(query)
    return AddressKind(found) if found else None


async def _kinds(endpoints: Endpoints, addresses: Collection[str]) -> dict[str, AddressKind]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            codes = await standing.codes(endpoints, sorted(addresses))
    except (ChainError, TimeoutError) as error:
        log.warning("address_kinds_unknown", network=endpoints.network.id, error=str(error))
        return {}
    return {address: kind_of(code) for address, code in codes.items()}
