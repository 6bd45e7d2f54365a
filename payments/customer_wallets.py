"""Customers' wallets: an address that stays, and balances that are read from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.addresses import checksum
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.networks import Catalog, Network
from core.pages import page_of
from ledger.accounts import Debt, wallet
from ledger.reads import amount
from ledger.tables import AccountBalance
from payments import customers
from payments.wallet_tables import Wallet
from wallets.addresses import deposit_address
from wallets.tables import DepositAddress

DEBTS = (Debt.AVAILABLE, Debt.PENDING, Debt.RESERVED)
FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)

Balances = Mapping[UUID, list[dict[str, str]]]


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    customer_id: UUID | None,
    networks: Sequence[str] | None,
) -> dict[str, Any]:
    """A wallet with an address on these networks, or on all. Raises NotFound, Invalid, Conflict
    `not_available` where no network has a factory."""
    customer = await customers.find(session, customer_id, merchant_id)
    chosen = _networks(context.catalog, networks)
    factory, code_hash = chosen[0].factory, chosen[0].deposit_init_code_hash
    assert factory is not None  # noqa: S101  (_networks saw to it)
    assert code_hash is not None  # noqa: S101
    now, address_id = context.clock.now(), ids.new()
    row = Wallet(
        id=ids.new(),
        merchant_id=merchant_id,
        customer_id=customer.id,
        networks=[network.id for network in chosen],
        address=deposit_address(factory, code_hash, address_id),
        created_at=now,
    )
    session.add(row)
    await session.flush()
    session.add(
        DepositAddress(
            address=row.address,
            id=address_id,
            merchant_id=merchant_id,
            wallet_id=row.id,
            watch_until=FOR_EVER,
            created_at=now,
        )
    )
    await session.flush()
    return wallet_json(row, {})


def _networks(catalog: Catalog, asked: Sequence[str] | None) -> list[Network]:
    """One address serves them all, so all of them must have the same factory."""
    able = [n for n in catalog.networks.values() if n.factory and n.deposit_init_code_hash]
    if asked is not None:
        known = {network.id for network in able}
        for n, name in enumerate(asked):
            if name not in known:
                raise Invalid.of(f"networks.{n}", f"{name} takes no deposits here")
        able = [network for network in able if network.id in asked]
    if not able:
        raise Conflict("no network takes deposits here", code="not_available")
    first = able[0].factory, able[0].deposit_init_code_hash
    same = [n for n in able if (n.factory, n.deposit_init_code_hash) == first]
    if asked is not None and len(same) < len(able):
        raise Invalid.of("networks", "have different factories: a wallet has one address")
    return same


async def find(
    session: AsyncSession, wallet_id: UUID | None, merchant_id: UUID | None, *, lock: bool = False
) -> Wallet:
    """Raises NotFound for an unknown id and for another merchant's alike. `lock`: whatever else
    would leave this wallet waits."""
    query = select(Wallet).where(Wallet.id == wallet_id)
    if merchant_id is not None:
        query = query.where(Wallet.merchant_id == merchant_id)
    if lock:  # not `for update`: transfers to this wallet refer to its row
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = (await session.scalars(query)).one_or_none() if wallet_id else None
    if row is None:
        raise NotFound("no such wallet")
    return row


async def show(
    session: AsyncSession, context: Context, wallet_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """Raises NotFound."""
    row = await find(session, wallet_id, merchant_id)
    return wallet_json(row, await balances(session, context.catalog, [row.id]))


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    customer: UUID | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(
        session, Wallet, limit, cursor, merchant_id=merchant_id, customer_id=customer
    )
    held = await balances(session, context.catalog, [row.id for row in rows])
    return [wallet_json(row, held) for row in rows], more


async def balances(
    session: AsyncSession, catalog: Catalog, wallets: Collection[UUID]
) -> dict[UUID, list[dict[str, str]]]:
    """What each wallet holds, per asset that ever moved in it. `available` below zero: the chain
    took back what was spent already."""
    whose = {wallet(number, debt): (number, debt) for number in wallets for debt in DEBTS}
    query = select(AccountBalance).where(AccountBalance.account.in_(whose))
    found: defaultdict[tuple[UUID, str], dict[Debt, int]] = defaultdict(dict)
    for row in await session.scalars(query):
        number, debt = whose[row.account]
        found[number, row.asset][debt] = -row.balance
    shown: defaultdict[UUID, list[dict[str, str]]] = defaultdict(list)
    for (number, asset), debts in sorted(found.items()):
        parts = {debt.value: amount(catalog, asset, debts.get(debt, 0)) for debt in DEBTS}
        shown[number].append({"asset": asset, **parts})
    return shown


def wallet_json(row: Wallet, held: Balances) -> dict[str, Any]:
    """Field names are binding (API 2)."""
    return {
        "id": ids.show("wal", row.id),
        "object": "wallet",
        "merchant": ids.show("mer", row.merchant_id),
        "customer": ids.show("cus", row.customer_id),
        "addresses": [{"network": n, "address": checksum(row.address)} for n in row.networks],
        "balances": held.get(row.id, []),
        "created_at": show_time(row.created_at),
    }
