"""A quote as the API shows it (API 2), also with what was not used and why."""

from __future__ import annotations

from typing import Any

from core.clock import show
from core.ids import show as show_id
from exchanges.numbers import parse as read_number
from exchanges.types import Side
from prices.rates import SCALE, show_price
from treasury.plan import Plan, PlannedLeg, parse
from treasury.quote_tables import TreasuryQuote
from treasury.units import show_amount

_MILLION = 10**6


def quote_json(row: TreasuryQuote) -> dict[str, Any]:
    """`price` is what one `from` brings of `to` with all fees in."""
    plan = parse(row.plan)
    books = {(book["venue"], book["symbol"]): book for book in row.evidence}
    asked = row.from_asset if row.side == Side.SELL else row.to_asset
    return {
        "id": show_id("qte", row.id),
        "object": "quote",
        "created_at": show(row.created_at),
        "expires_at": show(row.expires_at),
        "from": row.from_asset,
        "to": row.to_asset,
        "side": row.side,
        "amount": show_amount(asked, row.asked_amount),
        "from_amount": show_amount(row.from_asset, row.from_amount),
        "to_amount": show_amount(row.to_asset, row.to_amount),
        "price": show_price(row.price),
        "fees": _fees(plan),
        "legs": [_leg(leg, books.get((leg.venue, leg.symbol))) for leg in plan.legs],
        "oracle": row.oracle,
        "books": row.evidence,
        "alternatives": row.alternatives,
        "refused": row.refused,
        "conversion": row.conversion_id and show_id("cnv", row.conversion_id),
    }


def percent(part: int, whole: int) -> str:
    """part / whole in percent, four decimals, rounded away from better: -0.1234."""
    millionths = part * _MILLION // whole
    sign = "-" if millionths < 0 else ""
    return f"{sign}{abs(millionths) // 10_000}.{abs(millionths) % 10_000:04}"


def _leg(leg: PlannedLeg, book: dict[str, Any] | None) -> dict[str, Any]:
    base = leg.from_asset if leg.side is Side.SELL else leg.to_asset
    shown = {
        "path": leg.path,
        "step": leg.step,
        "venue": leg.venue,
        "symbol": leg.symbol,
        "side": leg.side.value,
        "quantity": show_amount(base, leg.quantity),
        "price": show_price(leg.expected_price),
        "limit_price": show_price(leg.limit_price),
        "from": leg.from_asset,
        "to": leg.to_asset,
        "from_amount": show_amount(leg.from_asset, leg.expected_in),
        "to_amount": show_amount(leg.to_asset, leg.expected_out),
        "fee": show_amount(leg.fee_asset, leg.fee),
        "fee_asset": leg.fee_asset,
    }
    if book is not None:
        mid = read_number(book["mid"])
        worse = leg.expected_price - mid if leg.side is Side.BUY else mid - leg.expected_price
        shown["slippage_percent"] = percent(worse, mid)
    return shown


def _fees(plan: Plan) -> list[dict[str, str]]:
    """By venue and asset."""
    sums: dict[tuple[str, str], int] = {}
    for leg in plan.legs:
        sums[leg.venue, leg.fee_asset] = sums.get((leg.venue, leg.fee_asset), 0) + leg.fee
    return [
        {"kind": "exchange", "venue": venue, "amount": show_amount(asset, fee), "asset": asset}
        for (venue, asset), fee in sums.items()
    ]


def deviation(price: int, oracle: int) -> str:
    """How far `price` lies from the oracle's, in percent; negative is worse for us."""
    return percent(price - oracle, oracle)


def rate_of(from_amount: int, to_amount: int) -> int:
    """`to` for one `from`, in 10**-18, rounded down."""
    return to_amount * SCALE // from_amount
