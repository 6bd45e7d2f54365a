"""Movements at the house's own addresses: each is given exactly one meaning (MONEY 2)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from chain.types import Batch, Movement, Swept
from core import ids
from core.networks import Network
from ledger.accounts import Role, place
from ledger.breaks import BreakKind, Difference
from ledger.journal import Entry
from payments import claims, entries
from payments.awaited import Awaited
from payments.ground import Ground
from payments.intake import claimed_by
from payments.tables import HouseMovement
from wallets import expected as awaiting
from wallets.tables import ExpectedInflow


def meanings(
    network: Network,
    batch: Batch,
    ground: Ground,
    explained: Container[str] = (),
    expected: Sequence[ExpectedInflow] = (),
) -> list[HouseMovement]:
    """Sweeps of our deposit addresses, then every other inflow, in chain order: from another place
    of ours, as a move awaits it (`expected`), or unknown.

    `explained` are our own transactions in these blocks: who asked for them posts what they move.
    A sweep of a salt that is none of ours brings a stranger's money, and so does a payment through
    our router for no invoice of ours: those are unknown inflows.
    """
    tokens = network.by_address()
    found: list[HouseMovement] = []
    ours = [s for s in batch.sweeps if s.deposit_address in ground.owners and s.token in tokens]
    for sweep in ours:
        role = Role(ground.roles.get(sweep.treasury, Role.TREASURY))
        found.append(
            HouseMovement(
                block_hash=sweep.block_hash,
                block_number=sweep.block_number,
                tx_hash=sweep.tx_hash,
                position=f"log:{sweep.log_index}",
                meaning="swept",
                asset=tokens[sweep.token].asset.symbol,
                amount=sweep.amount,
                arrived=sweep.arrived,
                source=sweep.deposit_address,
                destination=sweep.treasury,
                place=place(network.id, role),
            )
        )
    awaited = Awaited(expected, ground.roles)
    for movement in _unclaimed(network, batch, ground, ours, explained):
        token = tokens.get(movement.token)
        if token is None or movement.amount == 0:
            continue
        role = Role(ground.roles.get(movement.recipient, Role.TREASURY))
        meaning, reference = awaited.meaning(movement, token.asset.symbol)
        found.append(
            HouseMovement(
                block_hash=movement.block_hash,
                block_number=movement.block_number,
                tx_hash=movement.tx_hash,
                position=movement.position,
                meaning=meaning,
                reference=reference,
                asset=token.asset.symbol,
                amount=movement.amount,
                arrived=movement.amount,
                source=movement.sender,
                destination=movement.recipient,
                place=place(network.id, role),
            )
        )
    for row in found:
        row.id, row.network, row.status, row.generation = ids.new(), network.id, "live", 0
    return found


def _unclaimed(
    network: Network,
    batch: Batch,
    ground: Ground,
    ours: Sequence[Swept],
    explained: Container[str],
) -> Iterator[Movement]:
    """Inflows to the house that no event of our contracts and no transaction of ours explains."""
    yield from (paid.movement for paid in batch.payments if paid.invoice not in ground.billed)
    evidence = claims.evidence(batch.payments, batch.movements, network.router)
    for movement in batch.movements:
        if movement.recipient not in ground.roles or movement.tx_hash in explained:
            continue
        if (movement.tx_hash, movement.position) in evidence:
            continue
        if not any(claimed_by(sweep, movement) for sweep in ours):
            yield movement


async def expected(
    session: AsyncSession, network: Network, batch: Batch, ground: Ground
) -> Sequence[ExpectedInflow]:
    """What inflows of these blocks may be; asked only where there are any."""
    hashes = {m.tx_hash for m in batch.movements if m.recipient in ground.roles}
    return await awaiting.waiting(session, network.id, hashes) if hashes else ()


async def mark(session: AsyncSession, rows: Sequence[HouseMovement], *, arrived: bool) -> None:
    """Tells those who await these."""
    for row in rows:
        if row.reference is not None:
            await awaiting.mark(session, row.reference, arrived=arrived)


async def record(
    session: AsyncSession, found: Sequence[HouseMovement], now: datetime
) -> tuple[list[HouseMovement], list[Entry]]:
    """Stores them, reviving those that a fork took and gave again; returns the live and entries."""
    if not found:
        return [], []
    names = [(r.network, r.block_hash, r.tx_hash, r.position) for r in found]
    columns = tuple_(
        HouseMovement.network,
        HouseMovement.block_hash,
        HouseMovement.tx_hash,
        HouseMovement.position,
    )
    rows = await session.scalars(select(HouseMovement).where(columns.in_(names)))
    known = {(r.network, r.block_hash, r.tx_hash, r.position): r for r in rows}
    live: list[HouseMovement] = []
    for row, name in zip(found, names, strict=True):
        standing = known.get(name)
        if standing is None:
            session.add(row)
            live.append(row)
        elif standing.status == "orphaned":
            standing.status, standing.generation = "live", standing.generation + 1
            standing.meaning, standing.reference = row.meaning, row.reference
            live.append(standing)
    return live, [entries.house(row, now) for row in live]


async def take_back(
    session: AsyncSession, network: str, above: int, now: datetime
) -> tuple[list[HouseMovement], list[Entry]]:
    """A fork removed everything above a block: those movements are reversed."""
    rows = await session.scalars(
        select(HouseMovement).where(
            HouseMovement.network == network,
            HouseMovement.block_number > above,
            HouseMovement.status == "live",
        )
    )
    gone = list(rows)
    reversals = [entries.house(row, now, reverse=True) for row in gone]
    for row in gone:
        row.status = "orphaned"
    return gone, reversals


def unknown_inflow(row: HouseMovement) -> Difference:
    """The Break for money whose origin nobody knows."""
    return Difference(
        key=f"unknown_inflow:{row.network}:{row.tx_hash}:{row.position}",
        kind=BreakKind.ORPHAN,
        place=row.place,
        asset=row.asset,
        expected=0,
        actual=row.amount,
        facts={
            "network": row.network,
            "block_number": row.block_number,
            "block_hash": row.block_hash,
            "tx_hash": row.tx_hash,
            "position": row.position,
            "from": row.source,
            "to": row.destination,
        },
    )
