"""The one way a venue's execution gets into the books: once by (venue, symbol, fill id) (MONEY 1).

Both assets cross `trading`, the fee is an expense in the asset that the venue took it in, whichever
that is. A fill that is no order's of ours (somebody traded by hand) is booked like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.clock import wall
from core.context import Context
from core.networks import Catalog
from exchanges.numbers import show
from exchanges.types import Fill, Side
from ledger.accounts import EXCHANGE_FEES, TRADING, exchange
from ledger.journal import Entry, Kind, Posting, post
from treasury.conversion_tables import FillRow, Order
from treasury.units import ledger_code


async def book(
    session: AsyncSession,
    context: Context,
    venue: str,
    fills: Sequence[Fill],
    order: Order | None,
) -> list[Fill]:
    """Books those that are not in the books yet, and counts them on `order`, which the caller has
    locked and which knows its `venue_id`; None: no order of ours. Returns the new ones.

    Raises LedgerError when two transactions book one fill at the same moment: the second one rolls
    back and finds it booked the next time.
    """
    known = await _known(session, venue, fills)
    new = [fill for fill in fills if (fill.symbol, fill.id) not in known]
    entries = [_entry(context, venue, fill, order) for fill in new]
    await post(session, entries)
    for fill, entry in zip(new, entries, strict=True):
        session.add(_row(venue, fill, order, entry))
    await session.flush()
    if order is not None and fills:
        await _count(session, order)
    return new


def key(venue: str, fill: Fill) -> str:
    """What makes a fill's entry happen once."""
    return f"fill:{venue}:{fill.symbol}:{fill.id}"


def postings(catalog: Catalog, venue: str, fill: Fill) -> tuple[Posting, ...]:
    """Debit positive, units of 10**-18. A negative fee is a rebate: income of the same account."""
    base, _, quote = fill.symbol.partition("-")
    buys = fill.side is Side.BUY
    sold, bought = (quote, base) if buys else (base, quote)
    given, got = (
        (fill.quote_quantity, fill.quantity) if buys else (fill.quantity, fill.quote_quantity)
    )
    here = exchange(venue)
    sold, bought = ledger_code(catalog, sold), ledger_code(catalog, bought)
    fee_asset = ledger_code(catalog, fill.fee_asset)
    lines = (
        Posting(TRADING, sold, given),
        Posting(here, sold, -given),
        Posting(here, bought, got),
        Posting(TRADING, bought, -got),
        Posting(EXCHANGE_FEES, fee_asset, fill.fee),
        Posting(here, fee_asset, -fill.fee),
    )
    return tuple(line for line in lines if line.amount)


def _entry(context: Context, venue: str, fill: Fill, order: Order | None) -> Entry:
    return Entry(
        id=ids.new(),
        key=key(venue, fill),
        kind=Kind.FILL,
        reference=ids.show("ord", order.id) if order is not None else "",
        merchant_id=None,
        evidence=_evidence(venue, fill, order),
        posted_at=context.clock.now(),
        postings=postings(context.catalog, venue, fill),
    )


def _evidence(venue: str, fill: Fill, order: Order | None) -> dict[str, Any]:
    return {
        "venue": venue,
        "symbol": fill.symbol,
        "fill": fill.id,
        "venue_order": fill.venue_id,
        "client_order": order.client_id if order is not None else None,
        "conversion": ids.show("cnv", order.conversion_id) if order is not None else None,
        "side": fill.side.value,
        "price": show(fill.price),
        "quantity": show(fill.quantity),
        "fee": show(fill.fee),
        "fee_asset": fill.fee_asset,
        "at": show_time(fill.at),
        "read_at": show_time(wall()),
    }


def _row(venue: str, fill: Fill, order: Order | None, entry: Entry) -> FillRow:
    return FillRow(
        venue=venue,
        symbol=fill.symbol,
        fill_id=fill.id,
        venue_order_id=fill.venue_id,
        order_id=order.id if order is not None else None,
        side=fill.side.value,
        price=fill.price,
        quantity=fill.quantity,
        quote_quantity=fill.quote_quantity,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        entry_id=entry.id,
        at=fill.at,
        booked_at=entry.posted_at,
    )


async def _count(session: AsyncSession, order: Order) -> None:
    """What the books say that an order gave and got, also where a fill of it was booked before
    anybody knew that it was this order's. What it may still take is less by what it took."""
    query = select(FillRow).where(
        FillRow.venue == order.venue,
        FillRow.symbol == order.symbol,
        FillRow.venue_order_id == order.venue_id,
    )
    booked, quote, given, got = 0, 0, 0, 0
    fees: Counter[str] = Counter()
    for row in await session.scalars(query):
        buys = row.side == Side.BUY
        booked += row.quantity
        quote += row.quote_quantity
        given += row.quote_quantity if buys else row.quantity
        got += row.quantity if buys else row.quote_quantity
        fees[row.fee_asset] += row.fee
    given += fees[order.from_asset]
    got -= fees[order.to_asset]
    order.blocked = max(0, order.blocked - (given - order.given))
    order.booked, order.booked_quote, order.given, order.got = booked, quote, given, got
    order.fees = {asset: str(fee) for asset, fee in sorted(fees.items()) if fee}


async def _known(session: AsyncSession, venue: str, fills: Sequence[Fill]) -> set[tuple[str, str]]:
    query = select(FillRow.symbol, FillRow.fill_id).where(
        FillRow.venue == venue,
        FillRow.symbol.in_({fill.symbol for fill in fills}),
        FillRow.fill_id.in_([fill.id for fill in fills]),
    )
    return {(row.symbol, row.fill_id) for row in await session.execute(query)}
