"""Invoices: made in one statement, shown, listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import Base, Raw, raw
from core.errors import NotFound
from core.pages import page_of
from payments import heights
from payments.tables import Deposit, Invoice
from payments.tiers import Heights
from payments.views import invoice_json

_OF_INVOICE, _OF_DEPOSIT = (
    [attribute.key for attribute in table.__mapper__.column_attrs] for table in (Invoice, Deposit)
)


def _columns(table: type[Base], alias: str) -> str:
    return ", ".join(f"{alias}.{a.columns[0].name}" for a in table.__mapper__.column_attrs)


# A row for each deposit, in the order they were seen, with how far its network is followed; one
# row without a deposit for an invoice that nobody has paid.
_SHOW = f"""
select {_columns(Invoice, "i")}, {_columns(Deposit, "d")},
    c.number, c.safe, c.finalized
from invoices i
left join deposits d on d.invoice_id = i.id
left join network_cursors c on c.network = d.network
where i.id = %(invoice)s and (%(merchant)s::uuid is null or i.merchant_id = %(merchant)s)
order by d.id
"""  # noqa: S608 - names of our own columns


class _Row(SimpleNamespace):
    """What was read, under the names that the mapped class has for it."""

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        super().__init__(**dict(zip(names, values, strict=False)))


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
    return await show_on(await raw(session), context, invoice_id, merchant_id)


async def show_on(
    connection: Raw, context: Context, invoice_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """`show` in one round trip: an invoice is read far more often than it changes."""
    cursor = await connection.execute(_SHOW, {"invoice": invoice_id, "merchant": merchant_id})
    rows = await cursor.fetchall()
    if not rows:
        raise NotFound("no such invoice")
    deposits, known = [], {}
    for row in rows:
        deposit = _Row(_OF_DEPOSIT, row[len(_OF_INVOICE) :])
        if deposit.id is None:
            break  # nothing was paid
        deposits.append(cast("Deposit", deposit))
        if row[-3] is not None:
            known[deposit.network] = Heights(*row[-3:])
    invoice = cast("Invoice", _Row(_OF_INVOICE, rows[0]))
    return invoice_json(invoice, deposits, context.catalog, known, context.public_url)


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
    rows, more = await page_of(
        session,
        Invoice,
        limit,
        cursor,
        *(() if created_after is None else (Invoice.created_at > created_after,)),
        merchant_id=merchant_id,
        status=status,
        reference=reference,
    )
    return await render(session, context, rows), more
