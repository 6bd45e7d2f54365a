"""Invoices: made in one statement, shown, listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import NotFound
from payments import heights
from payments.tables import Deposit, Invoice
from payments.views import invoice_json


async def find(session: AsyncSession, invoice_id: UUID | None, merchant_id: UUID | None) -> Invoice:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    query = select(Invoice).where(Invoice.id == invoice_id)
    if merchant_id is not None:
        query = query.where(Invoice.merchant_id == merchant_id)
    row = (await session.scalars(query)).one_or_none() if invoice_id else None
    if row is None:
        raise NotFound("no such invoice")
    return row


async def show(
    session: AsyncSession, context: Context, invoice_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """The invoice as the API shows it. Raises NotFound."""
    row = await find(session, invoice_id, merchant_id)
    return (await render(session, context, [row]))[0]


async def render(
    session: AsyncSession, context: Context, rows: Sequence[Invoice]
) -> list[dict[str, Any]]:
    """Invoices with their deposits, in the order given."""
    known = await heights.load(session)
    deposits: dict[UUID, list[Deposit]] = {row.id: [] for row in rows}
    found = await session.scalars(
        select(Deposit).where(Deposit.invoice_id.in_(deposits)).order_by(Deposit.id)
    )
    for deposit in found:
        if deposit.invoice_id is not None:
            deposits[deposit.invoice_id].append(deposit)
    return [
        invoice_json(row, deposits[row.id], context.catalog, known, context.public_url)
        for row in rows
    ]


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    status: str | None,
    reference: str | None,
    created_after: datetime | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first; whether there are more. `cursor` is the last id of the page before."""
    query = select(Invoice).order_by(Invoice.id.desc()).limit(limit + 1)
    for condition, wanted in (
        (Invoice.merchant_id == merchant_id, merchant_id),
        (Invoice.status == status, status),
        (Invoice.reference == reference, reference),
    ):
        if wanted is not None:
            query = query.where(condition)
    if created_after is not None:
        query = query.where(Invoice.created_at > created_after)
    if cursor is not None:
        query = query.where(Invoice.id < cursor)
    rows = (await session.scalars(query)).all()
    return await render(session, context, rows[:limit]), len(rows) > limit
