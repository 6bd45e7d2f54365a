"""Executions over REST, the proof of what an order did (VENUES 2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import UnreadableAnswer
from exchanges import numbers
from exchanges.coinbase import reading
from exchanges.coinbase.answers import short
from exchanges.coinbase.orders import CLOCKS, HISTORICAL
from exchanges.coinbase.rest import Params, Rest
from exchanges.types import Fill

FILLS = f"{HISTORICAL}/fills"
_PAGE = 100


async def of_order(rest: Rest, symbol: str, venue_id: str) -> list[Fill]:
    """All executions of one order, oldest first.

    Raises UnreadableAnswer where one was undone or corrected: what the order did is for a person.
    """
    found = await _fetch(rest, {"order_ids": [venue_id], "limit": _PAGE})
    for fill in found:
        if fill.amends is not None:
            raise UnreadableAnswer(f"{fill.amends} is no fill that may be booked by itself")
    if any(fill.venue_id != venue_id or fill.symbol != symbol for fill in found):
        raise UnreadableAnswer(f"among the fills of {short(venue_id)} are another order's")
    return found


async def since(rest: Rest, symbol: str, at: datetime) -> list[Fill]:
    """All executions in a market from then on, and what amends them, oldest first. Some are from
    the minute before: the venue's clock is not ours, and one too many does no harm where one too
    few does."""
    fields: Params = {
        "product_ids": [symbol],
        "start_sequence_timestamp": reading.rfc3339(at - CLOCKS),
        "limit": _PAGE,
    }
    found = await _fetch(rest, fields)
    return [fill for fill in found if fill.symbol == symbol]


async def _fetch(rest: Rest, fields: Params) -> list[Fill]:
    """Each once: a fill that comes in while pages are turned moves others onto the next one."""
    found: dict[str, Fill] = {}
    async for entry in rest.pages(FILLS, "fills", fields):
        fill = read(entry)
        found.setdefault(fill.id, fill)
    fills = list(found.values())
    fills.reverse()  # pages are newest first, also within one moment
    fills.sort(key=lambda fill: fill.at)
    return fills


def read(entry: Mapping[str, Any]) -> Fill:
    """One fill. `entry_id` is its unique id: a `trade_id` comes again with a correction. The fee
    is `commission`, always in the quote asset. Anything but FILL amends one."""
    kind = short(entry.get("trade_type", "FILL"))
    is_plain = kind == "FILL"
    number = reading.positive if is_plain else reading.amount
    symbol = reading.text(entry, "product_id")
    price, size = number(entry, "price"), number(entry, "size")
    in_quote = entry.get("size_in_quote") is True and price != 0
    return Fill(
        id=reading.text(entry, "entry_id"),
        venue_id=reading.text(entry, "order_id"),
        symbol=symbol,
        side=reading.side(entry),
        price=price,
        quantity=size * numbers.ONE // price if in_quote else size,
        quote_quantity=size if in_quote else numbers.times(size, price),
        fee=reading.amount_or_zero(entry, "commission"),
        fee_asset=symbol.rpartition("-")[2],
        at=reading.moment(entry, "trade_time"),
        amends=None if is_plain else kind,
    )
