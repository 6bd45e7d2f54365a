"""The simulated Coinbase: Advanced Trade (v3), the wallet calls of Coinbase App (v2) and the
stream, for one TLS port. Every shape is the documented one, in the calls that we use."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from sandbox.exchanges.coinbase_answers import error, wallet_error
from sandbox.exchanges.coinbase_gate import ALL_SCOPES, Gate
from sandbox.exchanges.coinbase_history import History
from sandbox.exchanges.coinbase_market_data import MarketData
from sandbox.exchanges.coinbase_stream import Streams
from sandbox.exchanges.coinbase_trading import Trading
from sandbox.exchanges.coinbase_wallet import Wallet
from sandbox.exchanges.engine import Simulator

PER_SECOND = 30


def application(
    simulator: Simulator,
    *,
    scopes: Collection[str] = ALL_SCOPES,
    per_second: int = PER_SECOND,
) -> web.Application:
    """`scopes`: what the keys may do (view, trade, transfer). `per_second`: private calls of one
    key. Serve it with `certificates.ensure(...).server_context()`; the stream is at `/`."""
    gate = Gate(simulator, scopes, per_second)
    expired: set[int] = set()
    streams = Streams(simulator, gate.closing, expired)
    app = web.Application()
    endpoints = [
        *Trading(simulator, gate.odd_turn, expired).endpoints(),
        *History(simulator, expired).endpoints(),
        *MarketData(gate).endpoints(),
        *Wallet(gate).endpoints(),
    ]
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, gate.guard(endpoint))
    app.router.add_get("/", streams.connect)
    app.router.add_route("*", "/{rest:.*}", _nothing_there)

    async def close(_: web.Application) -> None:
        gate.closing.set()

    app.on_shutdown.append(close)
    return app


async def _nothing_there(request: web.Request) -> web.Response:
    if request.path.startswith("/v2/"):
        return wallet_error(404, "not_found", "Not found")
    return error(404, "NOT_FOUND", "route not found")
