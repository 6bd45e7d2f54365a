"""Instant transfers between customers' wallets: an entry in the ledger, no chain, no fee."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Invalid, InvalidAmount, NotFound
from core.networks import Catalog
from core.pages import page_of
from ledger import journal
from ledger.accounts import Debt, wallet
from ledger.journal import Entry, Kind, post
from ledger.reads import amount as show_amount
from payments import customer_wallets, overdraft, wallet_limits
from payments.cases import Outcome
from payments.wallet_tables import Transfer
from webhooks.events import NewEvent, emit


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransfer:
    """A request as it came in: `amount` is text in major units."""

    from_wallet: UUID | None
    to_wallet: UUID | None
    amount: str
    asset: str
    reference: str | None = None


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    request: NewTransfer,
    initiator: str,
) -> dict[str, Any]:
    """Done when this commits. Raises NotFound, Invalid, Conflict `limit_exceeded` or
    `insufficient_funds`: then the caller's transaction must roll back."""
    units = _units(context.catalog, request)
    if request.from_wallet is not None and request.from_wallet == request.to_wallet:
        raise Invalid.of("to_wallet", "is the wallet that pays")
    payer = await customer_wallets.find(session, request.from_wallet, merchant_id, lock=True)
    payee = await customer_wallets.find(session, request.to_wallet, merchant_id)
    now = context.clock.now()
    await wallet_limits.check(session, context.catalog, payer, request.asset, units, now)
    row = Transfer(
        id=ids.new(),
        merchant_id=merchant_id,
        from_wallet_id=payer.id,
        to_wallet_id=payee.id,
        asset=request.asset,
        amount=units,
        reference=request.reference,
        initiator=initiator,
        created_at=now,
    )
    posted = await post(session, [entry(row, now)], guarded=[wallet(payer.id, Debt.AVAILABLE)])
    session.add(row)
    await session.flush()
    shown = transfer_json(row, context.catalog)
    outcome = Outcome(context, {}, now)
    outcome.events.append(NewEvent(merchant_id, "transfer.created", shown["id"], shown))
    # It may fill what a reversal had left open.
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, now)
    return shown


def entry(row: Transfer, now: datetime) -> Entry:
    reference = ids.show("trf", row.id)
    return Entry(
        id=ids.new(),
        key=f"transfer:{reference}",
        kind=Kind.TRANSFER,
        reference=reference,
        merchant_id=row.merchant_id,
        evidence={},
        posted_at=now,
        postings=journal.transfer(
            row.asset,
            row.amount,
            debit=wallet(row.from_wallet_id, Debt.AVAILABLE),
            credit=wallet(row.to_wallet_id, Debt.AVAILABLE),
        ),
    )


async def show(
    session: AsyncSession, context: Context, transfer_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    row = await session.get(Transfer, transfer_id) if transfer_id else None
    if row is None or (merchant_id is not None and row.merchant_id != merchant_id):
        raise NotFound("no such transfer")
    return transfer_json(row, context.catalog)


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    wallet_id: UUID | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more. `wallet_id`: from it or to it."""
    either = or_(Transfer.from_wallet_id == wallet_id, Transfer.to_wallet_id == wallet_id)
    of_wallet = () if wallet_id is None else (either,)
    rows, more = await page_of(
        session, Transfer, limit, cursor, *of_wallet, merchant_id=merchant_id
    )
    return [transfer_json(row, context.catalog) for row in rows], more


def transfer_json(row: Transfer, catalog: Catalog) -> dict[str, Any]:
    return {
        "id": ids.show("trf", row.id),
        "object": "transfer",
        "merchant": ids.show("mer", row.merchant_id),
        "from_wallet": ids.show("wal", row.from_wallet_id),
        "to_wallet": ids.show("wal", row.to_wallet_id),
        "amount": show_amount(catalog, row.asset, row.amount),
        "asset": row.asset,
        "reference": row.reference,
        "created_at": show_time(row.created_at),
    }


def _units(catalog: Catalog, request: NewTransfer) -> int:
    asset = catalog.assets.get(request.asset)
    if asset is None:
        raise Invalid.of("asset", f"{request.asset!r} is not configured here", code="unknown_asset")
    try:
        units = asset.parse(request.amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if units == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    return units
