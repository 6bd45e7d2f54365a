"""A venue that answers, and not with its time."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from core.errors import UnreadableAnswer
from exchanges.binance.adapter import Binance
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side


@pytest.mark.parametrize("answer", [{"time": 1}, {"serverTime": None}, {"serverTime": "soon"}, []])
async def test_a_time_that_cannot_be_read_sends_nothing(answer: Any) -> None:
    """Every signed call asks for the time first; what is no time ends no loop by a KeyError."""
    asked: list[str] = []

    async def say(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = "http://{}:{}".format(*runner.addresses[0][:2])
        order = LimitOrder(
            client_id="a", symbol="ETH-EUR", side=Side.SELL, quantity=ONE, price=2000 * ONE
        )
        async with Binance(
            key="k", secret="s", url=url, ws_api_url=url, stream_url=url, networks={}, timeout=2
        ) as venue:
            with pytest.raises(UnreadableAnswer):
                await venue.balances()
            with pytest.raises(UnreadableAnswer):
                await venue.place(order)
    finally:
        await runner.cleanup()
    assert set(asked) == {"/api/v3/time"}
