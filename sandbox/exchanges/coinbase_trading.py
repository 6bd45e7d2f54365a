"""Sending orders to Coinbase Advanced Trade, and cancelling them.

A known `client_order_id` creates nothing and gives the first order again (API reference, Create
Order).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from exchanges.numbers import show, times
from sandbox.exchanges import coinbase_answers as answers
from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges.coinbase_answers import invalid, say
from sandbox.exchanges.coinbase_gate import API, TRADE, VIEW, Call, Endpoint
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import PLAYED, Fault, Operation
from sandbox.exchanges.types import Reason, Rejected, SimMarket, SimOrder

MOST_CANCELLED = 100
_TIF_BY_CONFIGURATION = {name: tif for tif, name in shapes.CONFIGURATION_BY_TIF.items()}


class Trading:
    """`odd_turn`: of the gate, for the fault that executes every second time only. `expired`: ids
    of the orders that a fault ended, for the streams to know as well."""

    def __init__(
        self, simulator: Simulator, odd_turn: Callable[[Fault], bool], expired: set[int]
    ) -> None:
        self._simulator = simulator
        self._odd_turn = odd_turn
        self._expired = expired

    def endpoints(self) -> list[Endpoint]:
        orders = f"{API}/orders"
        return [
            Endpoint("POST", orders, Operation.PLACE, TRADE, self.place),
            Endpoint("POST", f"{orders}/preview", Operation.ANY, VIEW, self.preview),
            Endpoint("POST", f"{orders}/batch_cancel", Operation.ANY, TRADE, self.cancel),
        ]

    # -- sending

    def place(self, call: Call) -> web.Response:
        client_id = call.body.get("client_order_id")
        if not isinstance(client_id, str) or not client_id:
            raise invalid("client_order_id is required")
        symbol, side, named = _asked(call.body)
        if call.fault is Fault.DUPLICATE_ORDER:
            words = answers.words(Reason.DUPLICATE_CLIENT_ID, None, 0)
            return answers.order_refused(words, named)
        if call.fault is Fault.SUCCESS_WITH_FAILURE_REASON and self._odd_turn(call.fault):
            return _success_and_failure(str(uuid.uuid4()), client_id, symbol, side, named)
        tif, limit = _limit(named)
        if tif is None:
            return answers.order_refused(answers.UNSUPPORTED, named)
        quantity = shapes.read_number(limit.get("base_size"), "base_size")
        price = shapes.read_number(limit.get("limit_price"), "limit_price")
        if self._crosses(limit, symbol, side, price, client_id):
            return answers.order_refused(answers.POST_ONLY, named)
        try:
            order = self._simulator.place(
                client_id=client_id,
                symbol=symbol,
                side=side,
                quantity=quantity,
                price=price,
                tif=tif,
                fault=call.fault if call.fault in PLAYED else None,
            )
        except Rejected as rejected:
            market = self._simulator.markets.get(symbol)
            return answers.order_refused(answers.words(rejected.reason, market, quantity), named)
        if call.fault is Fault.EXPIRED:
            self._expired.add(order.id)
        if call.fault is Fault.NOT_FOUND_LAG:
            self._simulator.faults.hide(client_id)
        if call.fault is Fault.SUCCESS_WITH_FAILURE_REASON:
            return _success_and_failure(
                shapes.order_uuid(order.id), client_id, symbol, order.side, named
            )
        return say(_success(shapes.order_uuid(order.id), order, shapes.configuration(order)))

    def _crosses(
        self, limit: Mapping[str, Any], symbol: str, side: str, price: int, client_id: str
    ) -> bool:
        if limit.get("post_only") is not True or symbol not in self._simulator.markets:
            return False
        if self._simulator.order(client_id=client_id) is not None:
            return False
        book = self._simulator.book(symbol, 1)
        if side == "buy":
            return bool(book.asks) and price >= book.asks[0][0]
        return bool(book.bids) and price <= book.bids[0][0]

    def preview(self, call: Call) -> web.Response:
        """What the order would cost at its limit. Nothing is done."""
        symbol, side, named = _asked(call.body)
        market = self._simulator.markets.get(symbol)
        tif, limit = _limit(named)
        quantity = price = 0
        problems: list[str] = []
        if market is None:
            problems = ["INVALID_PRODUCT_ID"]
        elif tif is None:
            problems = ["INVALID_ORDER_CONFIG"]
        else:
            quantity = shapes.read_number(limit.get("base_size"), "base_size")
            price = shapes.read_number(limit.get("limit_price"), "limit_price")
            problems = self._problems(market, side, quantity, price)
        value = times(quantity, price)
        fee = times(value, market.taker_fee) if market else 0
        book = self._simulator.book(symbol, 1) if market else None
        return say(
            {
                "order_total": show(value + (fee if side == "buy" else -fee)),
                "commission_total": show(fee),
                "errs": [answers.preview_name(word) for word in problems],
                "warning": [],
                "quote_size": show(value),
                "base_size": show(quantity),
                "best_bid": show(book.bids[0][0]) if book and book.bids else "",
                "best_ask": show(book.asks[0][0]) if book and book.asks else "",
                "is_max": False,
                "order_margin_total": "0",
                "leverage": "0",
                "long_leverage": "0",
                "short_leverage": "0",
                "slippage": "0",
                "preview_id": str(uuid.uuid4()),
            }
        )

    def _problems(self, market: SimMarket, side: str, quantity: int, price: int) -> list[str]:
        problems = []
        if price <= 0 or price % market.tick:
            problems.append("INVALID_PRICE_PRECISION")
        if quantity % market.step:
            problems.append("INVALID_SIZE_PRECISION")
        if quantity < market.min_quantity:
            problems.append("INVALID_BASE_SIZE_TOO_SMALL")
        if quantity > market.max_quantity:
            problems.append("INVALID_BASE_SIZE_TOO_LARGE")
        value = times(quantity, price)
        if value < market.min_notional:
            problems.append("INVALID_QUOTE_SIZE_TOO_SMALL")
        balances = self._simulator.balances()
        asset = market.quote if side == "buy" else market.base
        need = value + times(value, market.taker_fee) if side == "buy" else quantity
        if asset not in balances or balances[asset].free < need:
            problems.append("INSUFFICIENT_FUND")
        return problems

    def cancel(self, call: Call) -> web.Response:
        ids = call.body.get("order_ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(id_, str) for id_ in ids):
            raise invalid("order_ids is required")
        if len(ids) > MOST_CANCELLED:
            raise invalid(f"order_ids has more than {MOST_CANCELLED} entries")
        return say({"results": [self._cancelled(id_) for id_ in ids]})

    def _cancelled(self, id_: str) -> dict[str, Any]:
        number = shapes.order_number(id_)
        result = {
            "success": True,
            "failure_reason": "UNKNOWN_CANCEL_FAILURE_REASON",
            "order_id": id_,
        }
        try:
            if number is None:
                raise Rejected(Reason.UNKNOWN_ORDER)
            self._simulator.cancel(number)
        except Rejected:
            return {**result, "success": False, "failure_reason": "UNKNOWN_CANCEL_ORDER"}
        return result


def _asked(body: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Product, side in lower case, order configuration. Raises Refused (400)."""
    symbol, side, named = (body.get(k) for k in ("product_id", "side", "order_configuration"))
    if not isinstance(symbol, str) or not symbol:
        raise invalid("valid product_id is required")
    if side not in ("BUY", "SELL"):
        raise invalid("valid side is required")
    if not isinstance(named, dict):
        raise invalid("valid order_configuration is required")
    return symbol, side.lower(), named


def _limit(named: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """IOC, GTC or FOK (None: another kind of order), and its fields."""
    if len(named) == 1:
        name, limit = next(iter(named.items()))
        if name in _TIF_BY_CONFIGURATION and isinstance(limit, dict):
            return _TIF_BY_CONFIGURATION[name], limit
    return None, {}


def _success(order_id: str, order: SimOrder, named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "success": True,
        "success_response": {
            "order_id": order_id,
            "product_id": order.symbol,
            "side": order.side.upper(),
            "client_order_id": order.client_id,
            "attached_order_id": "",
        },
        "order_configuration": named,
    }


def _success_and_failure(
    order_id: str, client_id: str, symbol: str, side: str, named: Mapping[str, Any]
) -> web.Response:
    """As in coinbase-advanced-py #49: it says both, and may mean either."""
    return say(
        {
            "success": True,
            "failure_reason": "UNKNOWN_FAILURE_REASON",
            "order_id": order_id,
            "success_response": {
                "order_id": order_id,
                "product_id": symbol,
                "side": side.upper(),
                "client_order_id": client_id,
            },
            "order_configuration": named,
        }
    )
