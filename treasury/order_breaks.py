"""Telling a person of an order that cannot be proved, and hearing what he decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from exchanges.numbers import show
from ledger.accounts import exchange
from ledger.breaks import BreakKind, Difference
from treasury.breaks import close_and_tell, is_resolved, open_and_tell
from treasury.conversion_cases import Case, tell
from treasury.conversion_tables import Order
from treasury.units import ledger_code


def key(order: Order) -> str:
    """Names the difference: an order stands open once."""
    return f"order:{ids.show('ord', order.id)}"


async def open_for(
    session: AsyncSession, context: Context, case: Case, order: Order, now: datetime
) -> None:
    """Opens the order's Break, once, and tells of it. `now` is wall time."""
    if order.told_at is not None:
        return
    order.told_at = now
    await open_and_tell(session, context, [_difference(context, order)])
    await tell(session, context, case, "unknown")


async def close_for(session: AsyncSession, context: Context, order: Order) -> None:
    """The order has come to its end after all."""
    if order.told_at is None:
        return
    resolution = (
        "the venue did not show it for long enough"
        if order.dead
        else f"the venue's order and its fills prove it: {order.status}"
    )
    order.told_at = None
    await close_and_tell(session, context, [(key(order), resolution)])


async def decided(session: AsyncSession, order: Order) -> bool:
    """Whether a person has resolved it: then the order counts as not there, its funds are free."""
    return order.told_at is not None and await is_resolved(session, key(order))


def _difference(context: Context, order: Order) -> Difference:
    base, _, quote = order.symbol.partition("-")
    facts: dict[str, Any] = {
        "order": ids.show("ord", order.id),
        "conversion": ids.show("cnv", order.conversion_id),
        "client_order_id": order.client_id,
        "venue_order_id": order.venue_id,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": f"{show(order.quantity)} {base}",
        "price": f"{show(order.limit_price)} {quote}",
        "sent_at": show_time(order.sent_at) if order.sent_at else None,
        "to_resolve": "look at the venue; resolving it says that nothing more is executed of this"
        " order, and its funds are free again",
    }
    if order.differs is not None:
        kind, facts["differs"] = BreakKind.AMOUNT, order.differs
    elif order.venue_id is not None:
        kind = BreakKind.TIMING
        facts["filled_at_venue"], facts["in_the_books"] = (
            show(order.venue_filled),
            show(order.booked),
        )
    else:
        kind, facts["times_absent"] = BreakKind.MISSING_AT_VENUE, order.absent
    return Difference(
        key=key(order),
        kind=kind,
        place=exchange(order.venue),
        asset=ledger_code(context.catalog, order.from_asset),
        expected=order.blocked,
        facts=facts,
    )
