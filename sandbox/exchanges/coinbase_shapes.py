"""What Coinbase Advanced Trade writes of orders, fills, products and books.

Source: the API reference at docs.cdp.coinbase.com and answers recorded by open-source clients.
Numbers are strings of at most 16 decimals; no average of ours is finer.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from core.errors import UnreadableAnswer
from exchanges.numbers import ONE, parse, show
from sandbox.exchanges.coinbase_answers import invalid
from sandbox.exchanges.types import OrderStatus, SimBook, SimFill, SimMarket, SimOrder

USER = "5f0c2d6e-8f5b-4b5a-9a56-0c8f4d1e7b10"
PORTFOLIO = "0b9c8a7d-6e5f-4d3c-8b2a-1f0e9d8c7b6a"
QUOTE_MOST = 150_000_000 * ONE
_FINEST = 100  # units: 16 decimals
_ORDER_PREFIX = "0c0de0de-0000-4000-8000-"
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_TIME_IN_FORCE = {
    "IOC": "IMMEDIATE_OR_CANCEL",
    "GTC": "GOOD_UNTIL_CANCELLED",
    "FOK": "FILL_OR_KILL",
}
CONFIGURATION_BY_TIF = {
    "IOC": "sor_limit_ioc",
    "GTC": "limit_limit_gtc",
    "FOK": "limit_limit_fok",
}
NAMES = {"ETH": "Ethereum", "USDT": "Tether", "USDC": "USDC", "EUR": "Euro", "USD": "US Dollar"}
FIAT = frozenset({"EUR", "USD", "GBP"})


def order_uuid(number: int) -> str:
    return f"{_ORDER_PREFIX}{number:012x}"


def order_number(text: str) -> int | None:
    """None: not an id that this venue gave."""
    if not text.startswith(_ORDER_PREFIX) or len(text) != len(_ORDER_PREFIX) + 12:
        return None
    try:
        return int(text[len(_ORDER_PREFIX) :], 16)
    except ValueError:
        return None


def stable_uuid(*parts: object) -> str:
    """The same words, the same id."""
    return str(uuid.uuid5(_NAMESPACE, ":".join(str(part) for part in parts)))


def account_uuid(currency: str) -> str:
    return stable_uuid("account", currency)


def moment(at_ms: int) -> str:
    """RFC 3339 with microseconds, of milliseconds."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}000Z"


def second(at_ms: int) -> str:
    """As /v2 writes it."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_moment(text: str, name: str) -> int:
    """RFC 3339 -> milliseconds, rounded down. Raises Refused (400)."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name} is not a valid RFC3339 timestamp") from None
    if at.tzinfo is None:
        raise invalid(f"{name} is not a valid RFC3339 timestamp")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def read_number(value: Any, name: str) -> int:
    """A decimal string -> units. Raises Refused (400)."""
    try:
        if not isinstance(value, str):
            raise UnreadableAnswer("a number must be a string")
        return parse(value)
    except UnreadableAnswer:
        raise invalid(f"{name} is not a valid number") from None


def average(order: SimOrder) -> str:
    if not order.filled:
        return "0"
    price = order.quote_filled * ONE // order.filled
    return show(price - price % _FINEST)


def status(order: SimOrder, expired: Collection[int]) -> str:
    """The venue cancels what is left of an IOC or a FOK. EXPIRED is an order of `expired`, which
    a fault ended."""
    if order.status is OrderStatus.EXPIRED and order.id not in expired:
        return "CANCELLED"
    return order.status.value.upper()


def completion(order: SimOrder) -> str:
    """Percent, to two decimals."""
    percent = order.filled * 100 * ONE // order.quantity
    return show(percent - percent % (ONE // 100))


def value_after_fees(order: SimOrder) -> int:
    """What a buyer pays in all, what a seller gets in all."""
    sign = 1 if order.side == "buy" else -1
    return order.quote_filled + sign * order.fees


def configuration(order: SimOrder) -> dict[str, Any]:
    limit: dict[str, Any] = {"base_size": show(order.quantity), "limit_price": show(order.price)}
    if order.tif == "GTC":
        limit["post_only"] = False
    return {CONFIGURATION_BY_TIF[order.tif]: limit}


def order_shape(
    order: SimOrder, fills: Sequence[SimFill], expired: Collection[int]
) -> dict[str, Any]:
    ended = order.status is not OrderStatus.OPEN
    return {
        "order_id": order_uuid(order.id),
        "product_id": order.symbol,
        "user_id": USER,
        "order_configuration": configuration(order),
        "side": order.side.upper(),
        "client_order_id": order.client_id,
        "status": status(order, expired),
        "time_in_force": _TIME_IN_FORCE[order.tif],
        "created_time": moment(order.created_at),
        "completion_percentage": completion(order),
        "filled_size": show(order.filled),
        "average_filled_price": average(order),
        "fee": "",
        "number_of_fills": str(len(fills)),
        "filled_value": show(order.quote_filled),
        "pending_cancel": False,
        "size_in_quote": False,
        "total_fees": show(order.fees),
        "size_inclusive_of_fees": False,
        "total_value_after_fees": show(value_after_fees(order)),
        "trigger_status": "INVALID_ORDER_TYPE",
        "order_type": "LIMIT",
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": ended,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "User requested cancel" if order.status is OrderStatus.CANCELLED else "",
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": "0" if ended else show(order.quantity - order.filled),
        "is_liquidation": False,
        "last_fill_time": moment(fills[-1].at) if fills else None,
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": PORTFOLIO,
        "originating_order_id": "",
        "attached_order_id": "",
        "attached_order_configuration": None,
    }


def fill_shape(fill: SimFill) -> dict[str, Any]:
    return {
        "entry_id": stable_uuid("entry", fill.id).replace("-", ""),
        "trade_id": stable_uuid("trade", fill.id),
        "order_id": order_uuid(fill.order_id),
        "trade_time": moment(fill.at),
        "trade_type": "FILL",
        "price": show(fill.price),
        "size": show(fill.quantity),
        "commission": show(fill.fee),
        "product_id": fill.symbol,
        "sequence_timestamp": moment(fill.at),
        "liquidity_indicator": "MAKER" if fill.maker else "TAKER",
        "size_in_quote": False,
        "user_id": USER,
        "side": fill.side.upper(),
        "retail_portfolio_id": PORTFOLIO,
    }


def user_shape(order: SimOrder, fills: int, expired: Collection[int]) -> dict[str, Any]:
    """An order in the `user` channel."""
    return {
        "order_id": order_uuid(order.id),
        "client_order_id": order.client_id,
        "cumulative_quantity": show(order.filled),
        "leaves_quantity": show(order.quantity - order.filled),
        "avg_price": average(order),
        "total_fees": show(order.fees),
        "status": status(order, expired),
        "product_id": order.symbol,
        "creation_time": moment(order.created_at),
        "order_side": order.side.upper(),
        "order_type": "Limit",
        "cancel_reason": "",
        "reject_Reason": "",
        "completion_percentage": completion(order),
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "end_time": "0001-01-01T00:00:00Z",
        "filled_value": show(order.quote_filled),
        "limit_price": show(order.price),
        "number_of_fills": str(fills),
        "outstanding_hold_amount": "0",
        "post_only": "false",
        "product_type": "SPOT",
        "retail_portfolio_id": PORTFOLIO,
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "start_time": "0001-01-01T00:00:00Z",
        "stop_price": "",
        "time_in_force": _TIME_IN_FORCE[order.tif],
        "total_value_after_fees": show(value_after_fees(order)),
        "trigger_status": "INVALID_ORDER_TYPE",
    }


def product_shape(market: SimMarket, book: SimBook) -> dict[str, Any]:
    mid = (book.bids[0][0] + book.asks[0][0]) // 2 if book.bids and book.asks else None
    price = "" if mid is None else show(mid - mid % _FINEST)
    return {
        "product_id": market.symbol,
        "price": price,
        "price_percentage_change_24h": "0",
        "volume_24h": "0",
        "volume_percentage_change_24h": "0",
        "base_increment": show(market.step),
        "quote_increment": show(market.tick),
        "quote_min_size": show(market.min_notional),
        "quote_max_size": show(QUOTE_MOST),
        "base_min_size": show(market.min_quantity),
        "base_max_size": show(market.max_quantity),
        "base_name": NAMES.get(market.base, market.base),
        "quote_name": NAMES.get(market.quote, market.quote),
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": market.quote,
        "base_currency_id": market.base,
        "fcm_trading_session_details": None,
        "mid_market_price": price,
        "alias": "",
        "alias_to": [],
        "base_display_symbol": market.base,
        "quote_display_symbol": market.quote,
        "view_only": False,
        "price_increment": show(market.tick),
        "display_name": market.symbol,
        "product_venue": "CBE",
        "approximate_quote_24h_volume": "0",
    }


def book_shape(symbol: str, book: SimBook, at_ms: int) -> dict[str, Any]:
    def side(levels: Sequence[tuple[int, int]]) -> list[dict[str, str]]:
        return [{"price": show(price), "size": show(size)} for price, size in levels]

    return {
        "product_id": symbol,
        "bids": side(book.bids),
        "asks": side(book.asks),
        "time": moment(at_ms),
    }
