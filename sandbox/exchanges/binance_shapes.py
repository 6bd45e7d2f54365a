"""Answers and events as Binance writes them: numbers as strings of 8 decimals, times in ms.

Shapes are those of rest-api.md, user-data-stream.md and web-socket-streams.md (2026-07).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from exchanges.numbers import ONE, show
from sandbox.exchanges.types import OrderStatus, SimBook, SimFill, SimMarket, SimOrder

PLACES = 8
ZERO = "0.00000000"
_EXPIRY = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}
_MODE = "EXPIRE_MAKER"
_FAR = 922_327 * ONE  # the highest price that a filter allows
_MOST = 9_000_000 * ONE  # the largest notional


def number(units: int) -> str:
    """Units of 10**-18 with 8 decimals; more where the amount is finer (a deposit's wei)."""
    whole, _, fraction = show(units).partition(".")
    return f"{whole}.{fraction.ljust(PLACES, '0')}"


def native(symbol: str) -> str:
    """ETH-EUR -> ETHEUR."""
    return symbol.replace("-", "")


def levels(found: Iterable[tuple[int, int]]) -> list[list[str]]:
    return [[number(price), number(quantity)] for price, quantity in found]


def book(shown: SimBook) -> dict[str, Any]:
    """An answer of `depth`, and an event of a stream of books in part."""
    return {
        "lastUpdateId": shown.sequence,
        "bids": levels(shown.bids),
        "asks": levels(shown.asks),
    }


def utc(ms: int) -> str:
    """As the wallet writes times: 2019-10-12 11:12:02."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def status(order: SimOrder) -> str:
    match order.status:
        case OrderStatus.OPEN:
            return "PARTIALLY_FILLED" if order.filled else "NEW"
        case OrderStatus.FILLED:
            return "FILLED"
        case OrderStatus.CANCELLED:
            return "CANCELED"
        case OrderStatus.EXPIRED:
            return "EXPIRED"


def market(rules: SimMarket, *, trading: bool) -> dict[str, Any]:
    """One symbol of exchangeInfo."""
    return {
        "symbol": native(rules.symbol),
        "status": "TRADING" if trading else "BREAK",
        "baseAsset": rules.base,
        "baseAssetPrecision": PLACES,
        "quoteAsset": rules.quote,
        "quotePrecision": PLACES,
        "quoteAssetPrecision": PLACES,
        "baseCommissionPrecision": PLACES,
        "quoteCommissionPrecision": PLACES,
        "orderTypes": ["LIMIT"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": _MODE,
        "allowedSelfTradePreventionModes": ["NONE", _MODE],
    }


def _filters(rules: SimMarket) -> list[dict[str, Any]]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": number(rules.tick),
            "maxPrice": number(_FAR),
            "tickSize": number(rules.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": number(rules.min_quantity),
            "maxQty": number(rules.max_quantity),
            "stepSize": number(rules.step),
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": number(rules.min_notional),
            "applyMinToMarket": True,
            "maxNotional": number(_MOST),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]


def too_large(price: int, quantity: int) -> str | None:
    """The filter that a price or a notional breaks at its upper end."""
    if price > _FAR:
        return "PRICE_FILTER"
    return "NOTIONAL" if price * quantity > _MOST * ONE else None


def acknowledged(order: SimOrder) -> dict[str, Any]:
    """newOrderRespType ACK."""
    return {
        "symbol": native(order.symbol),
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.created_at,
    }


def _amounts(order: SimOrder) -> dict[str, Any]:
    return {
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.filled),
        "origQuoteOrderQty": ZERO,
        "cummulativeQuoteQty": number(order.quote_filled),
        "status": status(order),
        "timeInForce": order.tif,
        "type": order.type.upper(),
        "side": order.side.upper(),
    }


def why(order: SimOrder) -> str | None:
    """The venue's word for why an order expired."""
    return _EXPIRY.get(order.tif) if order.status is OrderStatus.EXPIRED else None


def _expiry(order: SimOrder) -> dict[str, Any]:
    reason = why(order)
    return {"expiryReason": reason} if reason else {}


def result(order: SimOrder) -> dict[str, Any]:
    """newOrderRespType RESULT."""
    return {
        **acknowledged(order),
        **_amounts(order),
        "workingTime": order.created_at,
        "selfTradePreventionMode": _MODE,
        **_expiry(order),
    }


def full(order: SimOrder, fills: Sequence[SimFill]) -> dict[str, Any]:
    """newOrderRespType FULL."""
    return {
        **result(order),
        "fills": [
            {
                "price": number(fill.price),
                "qty": number(fill.quantity),
                "commission": number(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.id,
            }
            for fill in fills
        ],
    }


def cancelled(order: SimOrder, cancel_id: str) -> dict[str, Any]:
    return {
        "symbol": native(order.symbol),
        "origClientOrderId": order.client_id,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": order.updated_at,
        **_amounts(order),
        "selfTradePreventionMode": _MODE,
    }


def queried(order: SimOrder) -> dict[str, Any]:
    return {
        "symbol": native(order.symbol),
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **_amounts(order),
        "stopPrice": ZERO,
        "icebergQty": ZERO,
        "time": order.created_at,
        "updateTime": order.updated_at,
        "isWorking": True,
        "workingTime": order.created_at,
        "selfTradePreventionMode": _MODE,
        **_expiry(order),
    }


def trade(fill: SimFill) -> dict[str, Any]:
    """One of myTrades."""
    return {
        "symbol": native(fill.symbol),
        "id": fill.id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.quote_quantity),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at,
        "isBuyer": fill.side == "buy",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }
