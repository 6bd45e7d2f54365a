"""Binance's order endpoints. A client id is unique among open orders only: once the first is
filled the same id is taken again and buys twice, as at the venue (rest-api.md, New order)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges import binance_shapes as shapes
from sandbox.exchanges.binance_desk import Call, refusal
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.binance_parameters import CLIENT_ID, Parameters
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import OrderStatus, Rejected, SimOrder

PLACE = frozenset(
    {
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "price",
        "newClientOrderId",
        "newOrderRespType",
        "selfTradePreventionMode",
        "strategyId",
        "strategyType",
    }
)
FIND = frozenset({"symbol", "orderId", "origClientOrderId"})
CANCEL = FIND | {"newClientOrderId"}
LIST = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})


def place(call: Call) -> dict[str, Any]:
    """LIMIT with IOC, FOK or GTC. Raises Problem."""
    parameters, desk = call.parameters, call.desk
    rules = desk.market(parameters.symbol())
    side = parameters.choice("side", ("BUY", "SELL"), Problem(-1117, "Invalid side."))
    kind = parameters.text("type")
    if kind == "MARKET":
        raise Problem(-1013, "Market orders are not supported for this symbol.")
    if kind != "LIMIT":
        raise Problem(-1116, "Invalid orderType.")
    tif = parameters.choice(
        "timeInForce", ("GTC", "IOC", "FOK"), Problem(-1115, "Invalid timeInForce.")
    )
    quantity, price = parameters.decimal("quantity"), parameters.decimal("price")
    shape = parameters.optional("newOrderRespType") or "FULL"
    if shape not in ("ACK", "RESULT", "FULL"):
        raise errors.invalid("newOrderRespType")
    client_id = parameters.optional("newClientOrderId", CLIENT_ID) or secrets.token_hex(11)
    _check_amounts(quantity, price)
    desk.limits.check_order()
    try:
        order = desk.simulator.place(
            client_id=client_id,
            symbol=rules.symbol,
            side=side.lower(),
            quantity=quantity,
            price=price,
            tif=tif,
            fault=call.fault,
        )
    except Rejected as rejected:
        raise refusal(rejected) from None
    desk.limits.count_order(filled=order.filled > 0)
    return _answer(call, order, shape)


def _check_amounts(quantity: int, price: int) -> None:
    if not quantity:
        raise Problem(-1013, "Invalid quantity.")
    if not price:
        raise Problem(-1013, "Invalid price.")
    broken = shapes.too_large(price, quantity)
    if broken:
        raise errors.filter_failure(broken)


def _answer(call: Call, order: SimOrder, shape: str) -> dict[str, Any]:
    if shape == "ACK":
        return shapes.acknowledged(order)
    if shape == "RESULT":
        return shapes.result(order)
    return shapes.full(order, call.desk.simulator.fills(order_id=order.id))


def turned_down(parameters: Parameters) -> dict[str, Any]:
    """Of an order that is answered with 200 and was not accepted: its status says so (enums.md,
    REJECTED)."""
    return {
        "symbol": parameters.symbol(),
        "orderId": -1,
        "orderListId": -1,
        "clientOrderId": parameters.optional("newClientOrderId") or "",
        "transactTime": now_ms(),
        "price": parameters.optional("price") or shapes.ZERO,
        "origQty": parameters.optional("quantity") or shapes.ZERO,
        "executedQty": shapes.ZERO,
        "origQuoteOrderQty": shapes.ZERO,
        "cummulativeQuoteQty": shapes.ZERO,
        "status": "REJECTED",
        "timeInForce": parameters.optional("timeInForce") or "GTC",
        "type": parameters.optional("type") or "LIMIT",
        "side": parameters.optional("side") or "BUY",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "fills": [],
    }


def query(call: Call) -> dict[str, Any]:
    order = _find(call, errors.no_such_order)
    if call.desk.simulator.faults.hidden(order.client_id):
        raise errors.no_such_order()
    return shapes.queried(order)


def cancel(call: Call) -> dict[str, Any]:
    order = _find(call, errors.unknown_order)
    cancel_id = call.parameters.optional("newClientOrderId", CLIENT_ID) or secrets.token_hex(11)
    call.desk.cancel_ids[order.id] = cancel_id
    try:
        ended = call.desk.simulator.cancel(order.id)
    except Rejected as rejected:
        raise refusal(rejected) from None
    return shapes.cancelled(ended, cancel_id)


def _find(call: Call, absent: Callable[[], Problem]) -> SimOrder:
    """By orderId, else by client id (the newest); both must fit where both are sent."""
    parameters = call.parameters
    rules = call.desk.market(parameters.symbol())
    order_id = parameters.whole("orderId")
    client_id = parameters.optional("origClientOrderId", CLIENT_ID)
    if order_id is None and client_id is None:
        raise Problem(
            -1102,
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        )
    if order_id is not None:
        order = call.desk.simulator.order(order_id=order_id)
    else:
        order = call.desk.simulator.order(client_id=client_id)
    if order is None or order.symbol != rules.symbol:
        raise absent()
    if client_id is not None and order.client_id != client_id:
        raise absent()
    return order


def open_orders(call: Call) -> list[dict[str, Any]]:
    symbol = None
    if "symbol" in call.parameters:
        symbol = call.desk.market(call.parameters.symbol()).symbol
    found = [
        order
        for order in call.desk.simulator.orders(symbol=symbol)
        if order.status is OrderStatus.OPEN
    ]
    return [shapes.queried(order) for order in visible(call, found)]


def open_weight(parameters: Parameters) -> int:
    return 6 if "symbol" in parameters else 80


def all_orders(call: Call) -> list[dict[str, Any]]:
    """Oldest first: from an id, or within at most 24 hours, else the newest."""
    parameters = call.parameters
    rules = call.desk.market(parameters.symbol())
    first = parameters.whole("orderId")
    start, end = parameters.window()
    limit = parameters.limit(500, 1000)
    found = [
        order
        for order in call.desk.simulator.orders(symbol=rules.symbol, since_ms=start)
        if (first is None or order.id >= first) and (end is None or order.created_at <= end)
    ]
    kept = found[:limit] if first is not None or start is not None else found[-limit:]
    return [shapes.queried(order) for order in visible(call, kept)]


def visible(call: Call, found: Iterable[SimOrder]) -> list[SimOrder]:
    """Without those that queries do not find yet; this was one of their queries."""
    hidden = call.desk.simulator.faults.hidden_ids()
    return [order for order in found if order.client_id not in hidden]
