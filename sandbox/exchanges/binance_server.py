"""The Binance simulator over HTTP: REST, the WebSocket API and the market streams on one port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from aiohttp import web

from sandbox.exchanges import binance_account as account
from sandbox.exchanges import binance_faults as faults
from sandbox.exchanges import binance_fiat as fiat
from sandbox.exchanges import binance_market as market
from sandbox.exchanges import binance_orders as orders
from sandbox.exchanges import binance_security as security
from sandbox.exchanges import binance_wallet as wallet
from sandbox.exchanges.binance_desk import Call, Desk, Endpoint
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.binance_limits import WEIGHT
from sandbox.exchanges.binance_parameters import Parameters, pairs
from sandbox.exchanges.binance_private import open_private
from sandbox.exchanges.binance_streams import open_stream
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import PLAYED, SENDS, Fault, Operation

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SIGNED = frozenset({"timestamp", "recvWindow", "signature"})
_SYMBOL = frozenset({"symbol"})

ENDPOINTS: MappingProxyType[tuple[str, str], Endpoint] = MappingProxyType(
    {
        ("GET", "/api/v3/ping"): Endpoint(
            handler=market.ping, operation=Operation.ANY, signed=False
        ),
        ("GET", "/api/v3/time"): Endpoint(
            handler=market.server_time, operation=Operation.ANY, signed=False
        ),
        ("GET", "/api/v3/exchangeInfo"): Endpoint(
            handler=market.exchange_info,
            operation=Operation.ANY,
            weight=20,
            signed=False,
            known=frozenset({"symbol", "symbols", "permissions", "showPermissionSets"}),
        ),
        ("GET", "/api/v3/depth"): Endpoint(
            handler=market.depth,
            operation=Operation.BOOK,
            weight=market.depth_weight,
            signed=False,
            known=frozenset({"symbol", "limit"}),
        ),
        ("POST", "/api/v3/order"): Endpoint(
            handler=orders.place, operation=Operation.PLACE, orders=True, known=orders.PLACE
        ),
        ("DELETE", "/api/v3/order"): Endpoint(
            handler=orders.cancel, operation=Operation.ORDER, orders=True, known=orders.CANCEL
        ),
        ("GET", "/api/v3/order"): Endpoint(
            handler=orders.query, operation=Operation.ORDER, weight=4, known=orders.FIND
        ),
        ("GET", "/api/v3/openOrders"): Endpoint(
            handler=orders.open_orders,
            operation=Operation.ORDER,
            weight=orders.open_weight,
            known=_SYMBOL,
        ),
        ("GET", "/api/v3/allOrders"): Endpoint(
            handler=orders.all_orders, operation=Operation.ORDER, weight=20, known=orders.LIST
        ),
        ("GET", "/api/v3/myTrades"): Endpoint(
            handler=account.my_trades,
            operation=Operation.FILLS,
            weight=account.trades_weight,
            known=account.TRADES,
        ),
        ("GET", "/api/v3/account"): Endpoint(
            handler=account.account,
            operation=Operation.BALANCES,
            weight=20,
            known=frozenset({"omitZeroBalances"}),
        ),
        ("GET", "/api/v3/account/commission"): Endpoint(
            handler=account.commission, operation=Operation.ANY, weight=20, known=_SYMBOL
        ),
        ("GET", "/sapi/v1/system/status"): Endpoint(
            handler=market.system_status, operation=Operation.ANY, signed=False
        ),
        ("GET", "/sapi/v1/asset/tradeFee"): Endpoint(
            handler=account.trade_fee, operation=Operation.ANY, known=None
        ),
        ("GET", "/sapi/v1/capital/config/getall"): Endpoint(
            handler=wallet.coins, operation=Operation.ANY, weight=10, known=None
        ),
        ("GET", "/sapi/v1/capital/deposit/address"): Endpoint(
            handler=wallet.address, operation=Operation.ANY, weight=10, known=None
        ),
        ("GET", "/sapi/v1/capital/deposit/hisrec"): Endpoint(
            handler=wallet.deposits, operation=Operation.ANY, known=None
        ),
        ("GET", "/sapi/v1/fiat/orders"): Endpoint(
            handler=fiat.orders, operation=Operation.ANY, uid_weight=45_000, known=None
        ),
        ("POST", "/sapi/v1/capital/withdraw/apply"): Endpoint(
            handler=wallet.withdraw, operation=Operation.WITHDRAW, uid_weight=600, known=None
        ),
        ("GET", "/sapi/v1/capital/withdraw/history"): Endpoint(
            handler=wallet.withdrawals,
            operation=Operation.ANY,
            uid_weight=18_000,  # ten a second
            uid_interval="S",
            known=None,
        ),
    }
)


def application(simulator: Simulator, *, weight: int = WEIGHT) -> web.Application:
    """Serves one simulator. `weight` is the request weight that an address may use in a minute
    (the venue's own unless told); every other limit grows with it."""
    desk = Desk(simulator, weight)
    app = web.Application(client_max_size=1 << 20)
    for (method, path), endpoint in ENDPOINTS.items():
        app.router.add_route(method, path, _serve(desk, endpoint, path.startswith("/sapi")))
    # gone since 2026-02-20: streams are subscribed to over the WebSocket API
    app.router.add_route("*", "/api/v3/userDataStream", _gone)

    async def stream(request: web.Request) -> web.StreamResponse:
        return await open_stream(desk, request)

    async def private(request: web.Request) -> web.StreamResponse:
        return await open_private(desk, request)

    app.router.add_get("/ws/{names:.*}", stream)
    app.router.add_get("/ws", stream)
    app.router.add_get("/stream", stream)
    app.router.add_get("/ws-api/v3", private)
    app.router.add_route("*", "/{rest:.*}", _absent)

    async def close(_app: web.Application) -> None:
        desk.closing.set()

    async def sign(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "nginx"

    app.on_shutdown.append(close)
    app.on_response_prepare.append(sign)
    return app


async def _gone(_request: web.Request) -> web.StreamResponse:
    return faults.page(HTTPStatus.GONE)


async def _absent(_request: web.Request) -> web.StreamResponse:
    return faults.page(HTTPStatus.NOT_FOUND)


def _serve(desk: Desk, endpoint: Endpoint, is_wallet: bool) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "replace") if request.can_read_body else ""
        key = request.headers.get("X-MBX-APIKEY")
        fault = desk.simulator.faults.take(endpoint.operation)

        def execute() -> web.Response:
            return _execute(desk, endpoint, (query, body, key), fault, is_wallet)

        if fault is None:
            return execute()
        if fault is Fault.SUCCESS_WITH_FAILURE_REASON:
            return _success_with_failure(endpoint, query, body)
        return await faults.spoil(fault, endpoint.operation, request, execute, desk.closing)

    return handle


def _success_with_failure(endpoint: Endpoint, query: str, body: str) -> web.Response:
    content: dict[str, Any] = {
        "code": -1000,
        "msg": "An unknown error occurred while processing the request.",
    }
    try:
        if endpoint.operation is Operation.PLACE:
            content = orders.turned_down(Parameters(pairs(query, body)))
    except Problem as problem:
        return faults.refused(problem, {})
    return faults.answer(content, headers={})


def _execute(
    desk: Desk,
    endpoint: Endpoint,
    sent: tuple[str, str, str | None],
    fault: Fault | None,
    is_wallet: bool,
) -> web.Response:
    """`sent`: raw query, raw body, API key."""
    query, body, key = sent
    limits = desk.wallet_limits if is_wallet else desk.limits
    try:
        parameters = Parameters(pairs(query, body))
        cost = endpoint.cost(parameters)
        limits.spend(cost)
        if endpoint.uid_weight:
            desk.account_limits[endpoint.uid_interval].spend(endpoint.uid_weight)
        if endpoint.signed:
            _check(desk, parameters, query, body, key)
        if endpoint.known is not None:
            parameters.check_known(endpoint.known | (_SIGNED if endpoint.signed else frozenset()))
        within = fault if fault in PLAYED else None
        content = endpoint.handler(Call(desk, parameters, within))
        if fault is Fault.NOT_FOUND_LAG and endpoint.operation in SENDS:
            given = parameters.optional("withdrawOrderId") or ""
            desk.simulator.faults.hide(content.get("clientOrderId", given))
    except Problem as problem:
        return faults.refused(problem, _headers(desk, endpoint, is_wallet))
    if endpoint.orders:
        limits.give_back(cost)
    return faults.answer(content, headers=_headers(desk, endpoint, is_wallet))


def _check(desk: Desk, parameters: Parameters, query: str, body: str, key: str | None) -> None:
    """Who sends it, and when. Raises Problem."""
    credential = security.known(desk.simulator.credentials, key)
    payload, signature = security.rest_payload(query, body)
    security.check_fresh(parameters.optional("timestamp"), parameters.optional("recvWindow"))
    security.check_signature(credential, payload, signature)


def _headers(desk: Desk, endpoint: Endpoint, is_wallet: bool) -> dict[str, str]:
    if not is_wallet:
        return {
            **desk.limits.headers(),
            **(desk.limits.order_headers() if endpoint.operation is Operation.PLACE else {}),
        }
    if endpoint.uid_weight:
        letter = endpoint.uid_interval
        return {f"X-SAPI-USED-UID-WEIGHT-1{letter}": desk.account_limits[letter].used}
    return {"X-SAPI-USED-IP-WEIGHT-1M": desk.wallet_limits.used}
