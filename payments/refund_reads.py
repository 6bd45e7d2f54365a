"""Refunds as they are read: one, or a page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.pages import newest_first
from payments.payout_facts import Status
from payments.payout_reads import beside_of
from payments.payout_tables import Payout, Refund
from payments.payout_views import refund_json
from payments.refunds import find


async def show(
    session: AsyncSession, context: Context, refund_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """Raises NotFound."""
    row = await find(session, refund_id, merchant_id)
    payout = await session.get(Payout, row.payout_id) if row.payout_id else None
    beside = await beside_of(session, [payout] if payout else [])
    return refund_json(row, payout, context.catalog, beside)


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    status: str | None,
    invoice: UUID | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    query = select(Refund, Payout).outerjoin(Payout, Payout.id == Refund.payout_id)
    if merchant_id is not None:
        query = query.where(Refund.merchant_id == merchant_id)
    if invoice is not None:
        query = query.where(Refund.invoice_id == invoice)
    if status is not None:
        query = query.where(_has(status))
    rows = (await session.execute(newest_first(query, Refund.id, limit, cursor))).all()
    beside = await beside_of(session, [payout for _, payout in rows[:limit] if payout])
    shown = [refund_json(row, payout, context.catalog, beside) for row, payout in rows[:limit]]
    return shown, len(rows) > limit


async def newest(
    session: AsyncSession, context: Context, invoice_id: UUID
) -> dict[str, Any] | None:
    """An invoice's last refund, for whoever looks at the checkout."""
    query = (
        select(Refund, Payout)
        .outerjoin(Payout, Payout.id == Refund.payout_id)
        .where(Refund.invoice_id == invoice_id)
        .order_by(Refund.id.desc())
        .limit(1)
    )
    found = (await session.execute(query)).one_or_none()
    return None if found is None else refund_json(found[0], found[1], context.catalog)


def _has(status: str) -> ColumnElement[bool]:
    """Its payout's status; without a payout it waits for the merchant, or was refused."""
    unpaid = Refund.payout_id.is_(None)
    if status == Status.REQUESTED:
        return (Payout.status == status) | (unpaid & Refund.rejected.is_(None))
    if status == Status.REJECTED:
        return (Payout.status == status) | (unpaid & Refund.rejected.is_not(None))
    return Payout.status == status
