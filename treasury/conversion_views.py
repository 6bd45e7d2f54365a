"""Conversions as operators see them (API 2). Field names are binding; amounts are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from core.clock import show as show_time
from core.ids import show
from exchanges.numbers import ONE
from treasury import plan
from treasury.conversion_machine import OVER, ConversionStatus
from treasury.conversion_tables import Conversion, Order
from treasury.units import show_amount


def conversion_json(row: Conversion, orders: Sequence[Order]) -> dict[str, Any]:
    """One conversion. `from_amount` and `to_amount` are what was given and got so far, fees taken
    off; `quoted` what the quote said; `left` what was not given, or is kept between two steps;
    `against_quote` how much better (worse: negative) than quoted it went."""
    planned = plan.parse(row.plan)
    return {
        "id": show("cnv", row.id),
        "object": "conversion",
        "status": row.status,
        "reason": row.reason,
        "quote": show("qte", row.quote_id),
        "from": row.from_asset,
        "to": row.to_asset,
        "from_amount": show_amount(row.from_asset, row.given),
        "to_amount": show_amount(row.to_asset, row.got),
        "quoted": {
            "from_amount": show_amount(row.from_asset, planned.from_amount),
            "to_amount": show_amount(row.to_asset, planned.to_amount),
        },
        "left": _left(row, planned, orders),
        "against_quote": [
            {"asset": asset, "amount": show_amount(asset, int(units))}
            for asset, units in sorted(row.against_quote.items())
        ],
        "legs": [_leg(order) for order in sorted(orders, key=_place)],
        "created_at": show_time(row.created_at),
        "finished_at": show_time(row.finished_at) if row.finished_at else None,
    }


def _place(order: Order) -> tuple[int, int, int]:
    return order.path, order.step, order.attempt


def _left(row: Conversion, planned: plan.Plan, orders: Sequence[Order]) -> list[dict[str, Any]]:
    """Where it stays: at venues, as ours."""
    found: Counter[tuple[str, str]] = Counter()
    short = row.status in OVER and row.status != ConversionStatus.FILLED
    for leg in planned.legs:
        if leg.step == 0 and short:
            found[leg.venue, leg.from_asset] += leg.expected_in
    for order in orders:
        if order.from_asset != row.from_asset or short:
            found[order.venue, order.from_asset] -= order.given
        if order.to_asset not in (row.to_asset, row.from_asset) or (
            order.to_asset == row.from_asset and short
        ):
            found[order.venue, order.to_asset] += order.got
    return [
        {"venue": venue, "asset": asset, "amount": show_amount(asset, units)}
        for (venue, asset), units in sorted(found.items())
        if units > 0
    ]


def _leg(order: Order) -> dict[str, Any]:
    base, _, quote = order.symbol.partition("-")
    return {
        "id": show("ord", order.id),
        "object": "order",
        "path": order.path,
        "step": order.step,
        "attempt": order.attempt,
        "venue": order.venue,
        "symbol": order.symbol,
        "side": order.side,
        "client_order_id": order.client_id,
        "venue_order_id": order.venue_id,
        "status": order.status,
        "reason": order.reason,
        "quantity": show_amount(base, order.quantity),
        "limit_price": show_amount(quote, order.limit_price),
        "filled": show_amount(base, order.booked),
        "average_price": _average(order, quote),
        "fees": _fees(order),
        "created_at": show_time(order.created_at),
    }


def _average(order: Order, quote: str) -> str | None:
    if not order.booked:
        return None
    return show_amount(quote, order.booked_quote * ONE // order.booked)


def _fees(order: Order) -> list[dict[str, str]]:
    return [
        {"asset": asset, "amount": show_amount(asset, int(units))}
        for asset, units in sorted(order.fees.items())
    ]
