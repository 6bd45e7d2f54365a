"""How much may leave a customer's wallet: at once, and in any 24 hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Conflict, Invalid, InvalidAmount
from core.networks import Catalog
from ledger.accounts import Debt, wallet
from ledger.reads import amount
from payments import customer_wallets
from payments.payout_facts import BACK
from payments.payout_tables import Payout, Refund
from payments.wallet_tables import Transfer, Wallet, WalletLimit

DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLimit:
    """As it came in: amounts are text in major units; None: as much as there is."""

    asset: str
    per_transfer: str | None = None
    per_day: str | None = None


async def check(
    session: AsyncSession, catalog: Catalog, row: Wallet, asset: str, units: int, now: datetime
) -> None:
    """Whether this much may leave a wallet, whose row the caller has locked: what leaves it
    meanwhile waits. Transfers count, and payouts unless they came to nothing, without their fees.

    Raises Conflict `limit_exceeded`.
    """
    limit = await session.get(WalletLimit, (row.id, asset))
    if limit is None:
        return
    most = limit.per_transfer
    if most is not None and units > most:
        raise Conflict(
            f"at most {amount(catalog, asset, most)} {asset} may leave this wallet at once",
            code="limit_exceeded",
        )
    if limit.per_day is None:
        return
    left = limit.per_day - await spent(session, row.id, asset, now - DAY)
    if units > left:
        shown = amount(catalog, asset, max(0, left))
        raise Conflict(
            f"{shown} {asset} may still leave this wallet within 24 hours", code="limit_exceeded"
        )


async def left(
    session: AsyncSession, wallet_id: UUID, asset: str, now: datetime
) -> tuple[int | None, int | None]:
    """Base units that may leave at once, and yet within these 24 hours; None: no limit."""
    limit = await session.get(WalletLimit, (wallet_id, asset))
    if limit is None:
        return None, None
    if limit.per_day is None:
        return limit.per_transfer, None
    gone = await spent(session, wallet_id, asset, now - DAY)
    return limit.per_transfer, max(0, limit.per_day - gone)


async def spent(session: AsyncSession, wallet_id: UUID, asset: str, since: datetime) -> int:
    """Base units that left after `since`, or are on their way."""
    moved = select(func.coalesce(func.sum(Transfer.amount), 0)).where(
        Transfer.from_wallet_id == wallet_id, Transfer.asset == asset, Transfer.created_at > since
    )
    paid = select(func.coalesce(func.sum(Payout.amount), 0)).where(
        Payout.source == wallet(wallet_id, Debt.AVAILABLE),
        Payout.asset == asset,
        Payout.created_at > since,
        Payout.status.not_in(BACK),
        ~exists().where(Refund.payout_id == Payout.id),  # never the customer's to spend
    )
    return int(await session.scalar(moved) or 0) + int(await session.scalar(paid) or 0)


async def show(session: AsyncSession, context: Context, wallet_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await customer_wallets.find(session, wallet_id, None)
    query = select(WalletLimit).where(WalletLimit.wallet_id == row.id).order_by(WalletLimit.asset)
    return {
        "id": ids.show("wal", row.id),
        "object": "wallet_limits",
        "limits": [
            {
                "asset": limit.asset,
                "per_transfer": _shown(context.catalog, limit.asset, limit.per_transfer),
                "per_day": _shown(context.catalog, limit.asset, limit.per_day),
            }
            for limit in await session.scalars(query)
        ],
    }


async def replace(
    session: AsyncSession, context: Context, wallet_id: UUID | None, limits: Sequence[NewLimit]
) -> dict[str, Any]:
    """These and no others from now on. Raises NotFound, Invalid."""
    row = await customer_wallets.find(session, wallet_id, None, lock=True)
    made = [_row(context.catalog, row.id, n, limit) for n, limit in enumerate(limits)]
    if len({limit.asset for limit in made}) < len(made):
        raise Invalid.of("limits", "name an asset twice")
    await session.execute(delete(WalletLimit).where(WalletLimit.wallet_id == row.id))
    session.add_all(made)
    await session.flush()
    return await show(session, context, wallet_id)


def _row(catalog: Catalog, wallet_id: UUID, n: int, limit: NewLimit) -> WalletLimit:
    asset = catalog.assets.get(limit.asset)
    if asset is None:
        raise Invalid.of(f"limits.{n}.asset", f"{limit.asset!r} is not configured here")

    def units(field: str, text: str | None) -> int | None:
        try:
            return None if text is None else asset.parse(text)
        except InvalidAmount as error:
            raise Invalid.of(f"limits.{n}.{field}", error.detail, code="invalid_amount") from None

    return WalletLimit(
        wallet_id=wallet_id,
        asset=limit.asset,
        per_transfer=units("per_transfer", limit.per_transfer),
        per_day=units("per_day", limit.per_day),
    )


def _shown(catalog: Catalog, asset: str, units: int | None) -> str | None:
    return None if units is None else amount(catalog, asset, units)
