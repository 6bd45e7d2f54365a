"""Orders and their executions, from Binance's words to ours (rest-api.md "New order", "Query
order", "Account trade list"). Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from exchanges.binance.markets import native
from exchanges.numbers import parse, show
from exchanges.types import Fill, LimitOrder, Side, VenueOrder, VenueOrderStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_STATUS = {
    "NEW": VenueOrderStatus.OPEN,
    "PENDING_NEW": VenueOrderStatus.OPEN,
    "PARTIALLY_FILLED": VenueOrderStatus.OPEN,
    "PENDING_CANCEL": VenueOrderStatus.OPEN,
    "FILLED": VenueOrderStatus.FILLED,
    "CANCELED": VenueOrderStatus.CANCELLED,
    "EXPIRED": VenueOrderStatus.CANCELLED,
    "EXPIRED_IN_MATCH": VenueOrderStatus.CANCELLED,
    "REJECTED": VenueOrderStatus.REFUSED,
}


def moment(milliseconds: object) -> datetime:
    """The venue's milliseconds -> UTC. Raises ValueError."""
    if not isinstance(milliseconds, int):
        raise ValueError(f"{milliseconds!r} are no milliseconds")
    return _EPOCH + milliseconds * _MS


def milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def request(order: LimitOrder) -> dict[str, str]:
    """The parameters of POST order: LIMIT, immediate or cancel, never MARKET."""
    return {
        "symbol": native(order.symbol),
        "side": order.side.upper(),
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": show(order.quantity),
        "price": show(order.price),
        "newClientOrderId": order.client_id,
        "newOrderRespType": "RESULT",
    }


def parse_order(symbol: str, raw: Mapping[str, Any]) -> VenueOrder:
    """An answer of POST or GET order. A negative quote amount means that the venue does not know
    it (any more): the fills do. Raises ValueError for another market's order."""
    if raw["symbol"] != native(symbol):
        raise ValueError("it is another market's")
    status = _STATUS[raw["status"]]
    return VenueOrder(
        venue_id=str(raw["orderId"]),
        client_id=raw["clientOrderId"],
        symbol=symbol,
        side=_SIDES[raw["side"]],
        quantity=parse(raw["origQty"]),
        price=parse(raw["price"]),
        filled=parse(raw["executedQty"]),
        quote_filled=max(0, parse(raw["cummulativeQuoteQty"])),
        status=status,
        reason=raw.get("expiryReason"),
        at=moment(raw.get("transactTime") or raw["updateTime"]),
    )


def parse_fill(symbol: str, raw: Mapping[str, Any]) -> Fill:
    """One of an answer of myTrades."""
    if raw["symbol"] != native(symbol):
        raise ValueError("it is another market's")
    return Fill(
        id=str(raw["id"]),
        venue_id=str(raw["orderId"]),
        symbol=symbol,
        side=Side.BUY if raw["isBuyer"] else Side.SELL,
        price=parse(raw["price"]),
        quantity=parse(raw["qty"]),
        quote_quantity=parse(raw["quoteQty"]),
        fee=parse(raw["commission"]),
        fee_asset=raw["commissionAsset"],
        at=moment(raw["time"]),
    )
