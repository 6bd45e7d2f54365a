"""Our own wallets: what is in `hot_wallets`, and in which role an address is ours on a network."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.errors import Conflict, NotFound
from ledger.accounts import Role
from wallets.tables import HotWallet, HouseAddress


class WalletKind(StrEnum):
    """What a wallet may be used for; the signer's policy has the last word."""

    HOT = "hot"
    """Payouts leave from it."""
    RELAYER = "relayer"
    """Pays the gas of sweeps and relayed payments, holds little."""
    TREASURY = "treasury"
    """Where sweeps go, when its key is ours."""
    WATCH = "watch"
    """No key: only looked at."""


def role_of(kind: WalletKind) -> Role:
    """The place in the ledger of what such a wallet holds."""
    return Role.TREASURY if kind is WalletKind.TREASURY else Role.HOT


async def add(
    session: AsyncSession,
    *,
    address: str,
    label: str,
    kind: WalletKind,
    networks: Iterable[str],
    now: datetime,
) -> UUID:
    """A wallet of ours on these networks: what arrives there has a meaning from now on (MONEY 2).

    The same address again changes label and kind, and brings a retired one back. A watched
    address is no place of ours. Raises Conflict `address_taken` where it is ours in another role.
    """
    statement = insert(HotWallet).values(
        id=ids.new(), address=address, label=label, kind=kind, created_at=now
    )
    number: UUID = (
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["address"], set_={"label": label, "kind": kind, "retired_at": None}
            ).returning(HotWallet.id)
        )
    ).scalar_one()
    if kind is WalletKind.WATCH:
        return number
    role = role_of(kind)
    for network in networks:
        await session.execute(
            insert(HouseAddress)
            .values(network=network, address=address, role=role)
            .on_conflict_do_nothing()
        )
        standing = await session.get(HouseAddress, (network, address), populate_existing=True)
        if standing is None or standing.role != role:
            raise Conflict(f"{address} is ours in another role already", code="address_taken")
    return number


async def known(session: AsyncSession, *, retired: bool = False) -> list[HotWallet]:
    """All wallets, oldest first; retired ones only when asked for."""
    query = select(HotWallet).order_by(HotWallet.id)
    if not retired:
        query = query.where(HotWallet.retired_at.is_(None))
    return list(await session.scalars(query))


async def retire(session: AsyncSession, wallet_id: UUID, now: datetime) -> None:
    """No transaction is prepared from it any more. What it holds stays ours, so its addresses
    keep their role. Raises NotFound."""
    done = await session.execute(
        update(HotWallet)
        .where(HotWallet.id == wallet_id, HotWallet.retired_at.is_(None))
        .values(retired_at=now)
        .returning(HotWallet.id)
    )
    if done.scalar_one_or_none() is None:
        raise NotFound("no such wallet")
