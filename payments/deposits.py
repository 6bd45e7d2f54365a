"""Deposits as they are read: one, or a page; `matched=false` is the money inbox."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import Conflict, NotFound
from core.pages import newest_first
from payments import heights
from payments.tables import Deposit, Invoice
from payments.views import currency_of, deposit_json


async def find(session: AsyncSession, deposit_id: UUID | None, merchant_id: UUID | None) -> Deposit:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    query = select(Deposit).where(Deposit.id == deposit_id)
    if merchant_id is not None:
        query = query.where(Deposit.merchant_id == merchant_id)
    row = (await session.scalars(query)).one_or_none() if deposit_id else None
    if row is None:
        raise NotFound("no such deposit")
    return row


def invoice_of(row: Deposit) -> UUID:
    """Raises Conflict `not_in_inbox` for a deposit to a customer's wallet: what is not held is the
    customer's, and leaves by the wallet."""
    if row.invoice_id is None:
        raise Conflict("this deposit belongs to a customer's wallet", code="not_in_inbox")
    return row.invoice_id


async def show(
    session: AsyncSession, context: Context, deposit_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    row = await find(session, deposit_id, merchant_id)
    invoice = await session.get(Invoice, row.invoice_id) if row.invoice_id else None
    currency = currency_of(invoice) if invoice else None
    return deposit_json(row, currency, context.catalog, await heights.load(session))


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    invoice: UUID | None,
    wallet: UUID | None,
    status: str | None,
    matched: bool | None,
    network: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more. matched=False: what waits in the inbox."""
    query = select(Deposit, Invoice).outerjoin(Invoice, Invoice.id == Deposit.invoice_id)
    for condition, wanted in (
        (Deposit.merchant_id == merchant_id, merchant_id),
        (Deposit.invoice_id == invoice, invoice),
        (Deposit.wallet_id == wallet, wallet),
        (Deposit.status == status, status),
        (Deposit.network == network, network),
    ):
        if wanted is not None:
            query = query.where(condition)
    waiting = Deposit.inbox_reason.is_not(None) & Deposit.resolution.is_(None)
    if matched is not None:
        query = query.where(~waiting if matched else waiting)
    rows = (await session.execute(newest_first(query, Deposit.id, limit, cursor))).all()
    known = await heights.load(session)
    shown = [
        deposit_json(deposit, currency_of(invoice) if invoice else None, context.catalog, known)
        for deposit, invoice in rows[:limit]
    ]
    return shown, len(rows) > limit
