"""Accepting a quote, and reading what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.errors import Conflict, NotFound
from core.pages import page_of
from treasury import plan
from treasury.blocked import reserve
from treasury.conversion_cases import Case, load_markets, order_row, tell, wake
from treasury.conversion_machine import ConversionStatus
from treasury.conversion_orders import Next, order_of
from treasury.conversion_tables import Conversion, Order
from treasury.conversion_views import conversion_json
from treasury.quote_tables import TreasuryQuote

NO_CONVERSION = "no such conversion"


async def accept(
    session: AsyncSession, context: Context, quote_id: UUID | None, initiator: str
) -> dict[str, Any]:
    """Takes a quote: its funds are blocked at each venue and the first orders wait to be sent, all
    in the caller's transaction. `initiator`: key_... or the id of a rule.

    Raises NotFound; Conflict `quote_expired`, `quote_used`, `insufficient_funds`.
    """
    number = ids.new()
    quote = await _take(session, context, quote_id, number)
    planned = plan.parse(quote.plan)
    now = wall()
    # The quote stands by the domain's clock, venues live by the wall's.
    valid_until = now + (quote.expires_at - context.clock.now())
    row = Conversion(
        id=number,
        quote_id=quote.id,
        status=ConversionStatus.ACCEPTED.value,
        reason=None,
        from_asset=quote.from_asset,
        to_asset=quote.to_asset,
        plan=quote.plan,
        given=0,
        got=0,
        against_quote={},
        initiator=initiator,
        valid_until=valid_until,
        created_at=context.clock.now(),
        finished_at=None,
    )
    firsts = await _firsts(session, planned, now, valid_until - now)
    needed: Counter[tuple[str, str]] = Counter()
    for one in firsts:
        needed[one.venue, one.from_asset] += one.blocks
    await reserve(session, context.catalog, needed)
    session.add(row)
    await session.flush()
    orders = [order_row(number, one, now) for one in firsts]
    session.add_all(orders)
    await session.flush()
    case = Case(row, orders)
    await tell(session, context, case, ConversionStatus.ACCEPTED.value)
    await wake(session)
    return conversion_json(row, orders)


async def show(session: AsyncSession, conversion_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await session.get(Conversion, conversion_id) if conversion_id else None
    if row is None:
        raise NotFound(NO_CONVERSION)
    return conversion_json(row, (await _orders(session, [row.id]))[row.id])


async def page(
    session: AsyncSession, *, status: str | None, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, Conversion, limit, cursor, status=status)
    orders = await _orders(session, [row.id for row in rows])
    return [conversion_json(row, orders[row.id]) for row in rows], more


async def _take(
    session: AsyncSession, context: Context, quote_id: UUID | None, conversion_id: UUID
) -> TreasuryQuote:
    """The quote, used from the commit on: of two that want it the second one waits, and loses."""
    taken = await session.scalars(
        update(TreasuryQuote)
        .where(TreasuryQuote.id == quote_id, TreasuryQuote.conversion_id.is_(None))
        .values(conversion_id=conversion_id)
        .returning(TreasuryQuote)
    )
    quote = taken.one_or_none()
    if quote is None:
        used = await session.get(TreasuryQuote, quote_id) if quote_id else None
        if used is None:
            raise NotFound("no such quote")
        by = ids.show("cnv", used.conversion_id) if used.conversion_id else "another conversion"
        raise Conflict(f"the quote was taken by {by}", code="quote_used")
    if quote.expires_at <= context.clock.now():
        raise Conflict("the quote has expired: ask for a new one", code="quote_expired")
    return quote


async def _firsts(
    session: AsyncSession, planned: plan.Plan, now: datetime, valid_for: timedelta
) -> list[Next]:
    """The first order of each path, cut to the venue's rules of this moment."""
    markets = await load_markets(session)
    firsts = []
    for leg in planned.legs:
        if leg.step > 0:
            continue
        market = markets.get((leg.venue, leg.symbol))
        first = market and order_of(
            leg, market, leg.quantity, attempt=0, due_at=now, send_until=now + valid_for
        )
        if not first:
            detail = f"{leg.venue} no longer takes this order on {leg.symbol}: ask for a new quote"
            raise Conflict(detail, code="quote_expired")
        firsts.append(first)
    return firsts


async def _orders(session: AsyncSession, numbers: list[UUID]) -> dict[UUID, list[Order]]:
    found: dict[UUID, list[Order]] = defaultdict(list)
    query = select(Order).where(Order.conversion_id.in_(numbers)).order_by(Order.id)
    for order in await session.scalars(query):
        found[order.conversion_id].append(order)
    return found
