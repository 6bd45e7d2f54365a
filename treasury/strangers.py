"""Executions at a venue that belong to no order whose venue id is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from exchanges.types import Fill, Side
from treasury.conversion_tables import Order


async def could_be_ours(session: AsyncSession, order: Order, fills: Sequence[Fill]) -> bool:
    """Whether some stranger among `fills` may be the order that a venue does not show by our id:
    the same market and side, not worse than its limit, not more than its quantity."""
    query = select(Order.venue_id).where(
        Order.venue == order.venue, Order.venue_id.in_({fill.venue_id for fill in fills})
    )
    known = set(await session.scalars(query))
    sums: Counter[str] = Counter()
    for fill in fills:
        within = (
            fill.price <= order.limit_price
            if order.side == Side.BUY
            else fill.price >= order.limit_price
        )
        if fill.venue_id not in known and fill.side == order.side and within:
            sums[fill.venue_id] += fill.quantity
    return any(quantity <= order.quantity for quantity in sums.values())
