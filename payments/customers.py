"""Customers of a merchant: whoever he keeps wallets for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, NotFound
from core.pages import page_of
from payments.wallet_tables import Customer


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    reference: str,
    metadata: dict[str, str],
) -> dict[str, Any]:
    """Raises Conflict `reference_taken`: one customer for each of the merchant's references."""
    values = {
        "id": ids.new(),
        "merchant_id": merchant_id,
        "reference": reference,
        "metadata": metadata,
        "created_at": context.clock.now(),
    }
    made = insert(Customer.__table__).values(values)  # type: ignore[arg-type]
    made = made.on_conflict_do_nothing(constraint="customers_reference")
    number = await session.scalar(made.returning(Customer.id))
    if number is None:
        raise Conflict(f"there is a customer {reference!r} already", code="reference_taken")
    return customer_json(await session.get_one(Customer, number))


async def find(
    session: AsyncSession, customer_id: UUID | None, merchant_id: UUID | None
) -> Customer:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    row = await session.get(Customer, customer_id) if customer_id else None
    if row is None or (merchant_id is not None and row.merchant_id != merchant_id):
        raise NotFound("no such customer")
    return row


async def page(
    session: AsyncSession,
    merchant_id: UUID | None,
    *,
    reference: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(
        session, Customer, limit, cursor, merchant_id=merchant_id, reference=reference
    )
    return [customer_json(row) for row in rows], more


def customer_json(row: Customer) -> dict[str, Any]:
    return {
        "id": ids.show("cus", row.id),
        "object": "customer",
        "merchant": ids.show("mer", row.merchant_id),
        "reference": row.reference,
        "metadata": row.metadata_,
        "created_at": show_time(row.created_at),
    }
