"""How the books of a connection begin, break and begin again; how a silent connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from websockets.asyncio.client import connect

from core.errors import VenueUnavailable
from exchanges.binance.client import Client
from exchanges.binance.streams import _Books, _listen, _Market
from exchanges.numbers import ONE
from exchanges.types import BookUpdate
from tests.unit.exchanges.binance_stub import stub


def event(first: int, last: int, bid: str = "10") -> dict[str, Any]:
    return {"e": "depthUpdate", "s": "ETHEUR", "U": first, "u": last, "b": [[bid, "1"]], "a": []}


def snapshot(last: int) -> Any:
    return 200, {"lastUpdateId": last, "bids": [["9", "1"]], "asks": [["11", "1"]]}, {}


def books(client: Client) -> tuple[_Books, _Market]:
    market = _Market("ETH-EUR")
    return _Books(client, {"ETHEUR": market}), market


async def arrived(state: _Books) -> list[BookUpdate]:
    (task,) = state.tasks
    await asyncio.wait({task})
    return list(state.arrived(task))


async def test_a_gap_is_told_at_once_and_mended_by_a_new_snapshot() -> None:
    async with (
        stub(api__v3__depth=[snapshot(100), snapshot(205)]) as told,
        told.client() as client,
    ):
        state, market = books(client)
        state.renew(market)
        assert list(state.changed(event(95, 100))) == []
        assert list(state.changed(event(101, 103))) == []
        (whole,) = await arrived(state)
        assert whole.book is not None
        assert (whole.book.sequence, whole.book.bids[0].price) == (103, 10 * ONE)
        assert list(state.changed(event(102, 103))) == []  # told twice
        (next_,) = state.changed(event(104, 104))
        assert next_.book is not None
        (gap,) = state.changed(event(200, 203))
        assert (gap.symbol, gap.book) == ("ETH-EUR", None)
        assert list(state.changed(event(204, 206, "10.5"))) == []  # held for the snapshot
        (again,) = await arrived(state)
        assert again.book is not None
        assert (again.book.sequence, again.book.bids[0].price) == (206, 10 * ONE + ONE // 2)
        assert state.tasks == {}


async def test_a_snapshot_from_before_the_first_change_is_asked_for_again() -> None:
    async with (
        stub(api__v3__depth=[snapshot(90), snapshot(101)]) as told,
        told.client() as client,
    ):
        state, market = books(client)
        state.renew(market)
        list(state.changed(event(100, 101)))
        assert await arrived(state) == []
        (whole,) = await arrived(state)
        assert whole.book is not None
        assert len(told.of("/api/v3/depth")) == 2


async def test_snapshots_that_never_fit_end_the_stream() -> None:
    async with stub(api__v3__depth=snapshot(90)) as told, told.client() as client:
        state, market = books(client)
        state.renew(market)
        for _ in range(4):
            list(state.changed(event(100, 101)))
            assert await arrived(state) == []
        list(state.changed(event(100, 101)))
        with pytest.raises(VenueUnavailable):
            await arrived(state)
        assert len(told.of("/api/v3/depth")) == 5


@asynccontextmanager
async def served(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_connection_without_a_pong_is_dead() -> None:
    async def mute(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.send_str("first")
        async for message in socket:
            assert message.type is WSMsgType.PING
        return socket

    async with (
        served(mute) as url,
        connect(url, ping_interval=None, close_timeout=0.1) as connection,
        aclosing(_listen(connection, silence=0.2)) as news,  # type: ignore[type-var]
    ):
        assert await anext(news) == "first"
        with pytest.raises(VenueUnavailable):
            await anext(news)


async def test_who_reads_slowly_gets_all_messages_before_a_heartbeat() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for number in range(5):
            await socket.send_str(str(number))
        async for _ in socket:
            pass
        return socket

    async with (
        served(flood) as url,
        connect(url, ping_interval=None) as connection,
        aclosing(_listen(connection, silence=0)) as news,  # type: ignore[type-var]
    ):
        first = await anext(news)
        await (await connection.ping())  # all that was sent is here, and so is the pong before
        assert [first, *[await anext(news) for _ in range(5)]] == [*"01234", None]


@pytest.mark.parametrize("status", [429, 418, 403])
async def test_a_stream_that_is_refused_leaves_the_venue_alone(status: int) -> None:
    async with stub(stream=(status, "", {})) as told, told.adapter() as exchange:
        with pytest.raises(VenueUnavailable):
            await anext(exchange.books(["ETH-EUR"]))
        with pytest.raises(VenueUnavailable) as away:
            await exchange.balances()
        assert away.value.retry_after
        assert told.of("/api/v3/account") == []
