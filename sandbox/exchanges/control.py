"""How the sandbox steers its simulators: HTTP on this machine, with a secret."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from core.errors import UnreadableAnswer
from exchanges.numbers import parse, show
from exchanges.types import Venue
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.told import SECRET_HEADER
from sandbox.exchanges.types import Rejected, SimOrder

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MOST_TIMES = 1_000_000


def application(simulators: Mapping[Venue, Simulator], secret: str) -> web.Application:
    """`/health`, and for each venue `faults` (POST, DELETE), `orders`, `mid`, `adjust`,
    `withdrawals`, `fiat_deposits`."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, ""), secret):
            raise web.HTTPForbidden
        return await handler(request)

    control = Control(simulators)
    made = web.Application(middlewares=[guarded])
    made.add_routes(
        [
            web.get("/health", control.health),
            web.post("/{venue}/faults", control.add_fault),
            web.delete("/{venue}/faults", control.clear_faults),
            web.get("/{venue}/orders", control.orders),
            web.post("/{venue}/mid", control.set_mid),
            web.post("/{venue}/adjust", control.adjust),
            web.post("/{venue}/withdrawals", control.withdraw),
            web.post("/{venue}/fiat_deposits", control.bring_fiat),
        ]
    )
    return made


class Control:
    """A wrong body is 422 with `field` and `problem`, an unknown venue 404."""

    def __init__(self, simulators: Mapping[Venue, Simulator]) -> None:
        self._simulators = simulators

    async def health(self, _request: web.Request) -> web.Response:
        """Whether every market has its prices."""
        unpriced = [
            f"{venue} {symbol}"
            for venue, simulator in self._simulators.items()
            for symbol in simulator.markets
            if not simulator.mid(symbol)
        ]
        return web.json_response({"unpriced": unpriced})

    async def add_fault(self, request: web.Request) -> web.Response:
        simulator, body = self._simulator(request), await request.json()
        operation = _one_of(body, "operation", Operation)
        fault, times = _one_of(body, "fault", Fault), body.get("times", 1)
        if type(times) is not int or not 1 <= times <= MOST_TIMES:
            raise _wrong("times", f"is a whole number from 1 to {MOST_TIMES}")
        simulator.faults.add(operation, fault, times)
        waiting = [{"operation": o, "fault": f, "times": n} for o, f, n in simulator.faults.waiting]
        return web.json_response({"waiting": waiting})

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._simulator(request).faults.clear()
        return web.json_response({"waiting": []})

    async def orders(self, request: web.Request) -> web.Response:
        simulator = self._simulator(request)
        return web.json_response({"data": [shown(order) for order in simulator.orders()]})

    async def set_mid(self, request: web.Request) -> web.Response:
        """`price` null: follow the feeds again."""
        simulator, body = self._simulator(request), await request.json()
        symbol = _one_of(body, "symbol", list(simulator.markets))
        price = body.get("price")
        simulator.set_mid(symbol, None if price is None else _positive(price, "price"))
        return web.json_response({"symbol": symbol, "price": price})

    async def adjust(self, request: web.Request) -> web.Response:
        """Plants a mistake: changes a balance (see `Simulator.adjust`)."""
        simulator, body = self._simulator(request), await request.json()
        asset = _one_of(body, "asset", list(simulator.balances()))
        try:
            simulator.adjust(asset, parse(body.get("amount")))
        except UnreadableAnswer as error:
            raise _wrong("amount", str(error)) from None
        balance = simulator.balances()[asset]
        return web.json_response({"asset": asset, "free": show(balance.free)})

    async def withdraw(self, request: web.Request) -> web.Response:
        """Plants a theft: the account's money leaves, and nobody here has ordered it."""
        simulator, body = self._simulator(request), await request.json()
        asset = _one_of(body, "asset", list(simulator.balances()))
        try:
            gone = simulator.withdraw(
                client_id=None,
                asset=asset,
                network=str(body.get("network")),
                address=str(body.get("address")),
                amount=_positive(body.get("amount"), "amount"),
            )
        except Rejected as rejected:
            raise _wrong("amount", f"refused by the venue: {rejected.reason}") from None
        return web.json_response({"id": gone.id, "fee": show(gone.fee)})

    async def bring_fiat(self, request: web.Request) -> web.Response:
        """A bank's transfer arrives: announced now, credited a moment later."""
        simulator, body = self._simulator(request), await request.json()
        asset = _one_of(body, "asset", simulator.banks.assets)
        amount = _positive(body.get("amount"), "amount")
        fee = body.get("fee")
        try:
            sent = simulator.banks.send(asset, amount, 0 if fee is None else _positive(fee, "fee"))
        except Rejected:
            problem = f"is more than the fee, and no finer than {asset} is"
            raise _wrong("amount", problem) from None
        shown = {"id": sent.id, "asset": asset, "credited": show(sent.credited)}
        return web.json_response({**shown, "status": sent.status})

    def _simulator(self, request: web.Request) -> Simulator:
        found = self._simulators.get(request.match_info["venue"])  # type: ignore[call-overload]
        if not isinstance(found, Simulator):
            raise web.HTTPNotFound
        return found


def shown(order: SimOrder) -> dict[str, Any]:
    """Amounts as decimal strings, times in milliseconds."""
    average = order.quote_filled * 10**18 // order.filled if order.filled else None
    return {
        "id": str(order.id),
        "client_order_id": order.client_id,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.tif,
        "status": order.status,
        "quantity": show(order.quantity),
        "price": show(order.price),
        "filled": show(order.filled),
        "quote_filled": show(order.quote_filled),
        "average_price": None if average is None else show(average),
        "fees": show(order.fees),
        "created_at_ms": order.created_at,
        "updated_at_ms": order.updated_at,
    }


def _one_of(body: Mapping[str, Any], name: str, allowed: Any) -> str:
    known = [str(one) for one in allowed]
    if body.get(name) not in known:
        raise _wrong(name, f"is one of {', '.join(known)}")
    return str(body[name])


def _positive(text: object, name: str) -> int:
    try:
        units = parse(text)
    except UnreadableAnswer as error:
        raise _wrong(name, str(error)) from None
    if units <= 0:
        raise _wrong(name, "is above zero")
    return units


def _wrong(name: str, problem: str) -> web.HTTPUnprocessableEntity:
    text = json.dumps({"field": name, "problem": problem})
    return web.HTTPUnprocessableEntity(text=text, content_type="application/json")
