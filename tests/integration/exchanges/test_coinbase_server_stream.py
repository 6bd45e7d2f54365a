"""The simulated Coinbase's stream by `websockets`, which verifies the certificate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from coinbase import jwt_generator
from coinbase.websocket import WebsocketResponse
from websockets.client import WebSocketClientProtocol, connect
from websockets.exceptions import ConnectionClosed, InvalidStatusCode

from exchanges.numbers import ONE, parse
from tests.integration.exchanges.coinbase_venue import KEY, SECRET, Served, ask, serve


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serve(tmp_path_factory.getbasetemp() / "tls") as served:
        yield served


@asynccontextmanager
async def stream(venue: Served) -> AsyncIterator[WebSocketClientProtocol]:
    async with asyncio.timeout(8):
        async with connect(
            f"wss://{venue.host}", ssl=venue.trusting, max_size=1 << 24, open_timeout=5
        ) as socket:
            yield socket


async def subscribe(
    socket: WebSocketClientProtocol, channel: str, *products: str, secret: str = SECRET
) -> None:
    token = jwt_generator.build_ws_jwt(KEY, secret)
    asked = {"type": "subscribe", "product_ids": products, "channel": channel, "jwt": token}
    await socket.send(json.dumps(asked))


async def said(socket: WebSocketClientProtocol, channel: str) -> dict[str, Any]:
    """The next message of a channel."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message.get("channel") == channel:
            return message


def applied(book: dict[str, dict[int, int]], message: dict[str, Any]) -> None:
    for event in message["events"]:
        for update in event["updates"]:
            side = book.setdefault(update["side"], {})
            price, quantity = parse(update["price_level"]), parse(update["new_quantity"])
            side.pop(price, None)
            if quantity:
                side[price] = quantity


async def test_a_book_kept_from_its_news_is_the_book(venue: Served) -> None:
    kept: dict[str, dict[int, int]] = {}
    async with stream(venue) as socket:
        await subscribe(socket, "level2", "ETH-EUR")
        first = await said(socket, "l2_data")
        assert (first["sequence_num"], first["events"][0]["type"]) == (0, "snapshot")
        applied(kept, first)
        listed = await said(socket, "subscriptions")
        assert listed["events"] == [{"subscriptions": {"level2": ["ETH-EUR"]}}]
        venue.simulator.set_mid("ETH-USDT", 2300 * ONE)  # of no interest
        venue.simulator.set_mid("ETH-EUR", 2100 * ONE)
        await ask(venue.client().limit_order_ioc_buy, "mine", "ETH-EUR", "20", "2200")
        sequence = listed["sequence_num"]
        while True:
            book = venue.simulator.book("ETH-EUR", 100_000)
            if kept == {"bid": dict(book.bids), "offer": dict(book.asks)}:
                break
            news = await said(socket, "l2_data")
            sequence += 1
            assert (news["sequence_num"], news["events"][0]["type"]) == (sequence, "update")
            assert WebsocketResponse(json.loads(json.dumps(news))).events[0].updates
            applied(kept, news)
    assert min(kept["offer"]) > 2000 * ONE


async def test_heartbeats_each_second(venue: Served) -> None:
    async with stream(venue) as socket:
        await subscribe(socket, "heartbeats")
        beats = [(await said(socket, "heartbeats"))["events"][0] for _ in range(2)]
        assert [beat["heartbeat_counter"] for beat in beats] == [1, 2]


async def test_orders_of_ours_are_told(venue: Served) -> None:
    client = venue.client()
    await ask(client.limit_order_gtc_buy, "rests", "ETH-EUR", "1", "1900")
    async with stream(venue) as socket:
        await subscribe(socket, "user", "ETH-EUR")
        snapshot = (await said(socket, "user"))["events"][0]
        assert snapshot["type"] == "snapshot"
        assert [order["client_order_id"] for order in snapshot["orders"]] == ["rests"]
        await ask(client.limit_order_ioc_sell, "other", "USDT-EUR", "100", "0.9")
        await ask(client.limit_order_ioc_buy, "mine", "ETH-EUR", "1", "2010")
        while True:
            order = (await said(socket, "user"))["events"][0]["orders"][0]
            assert order["client_order_id"] == "mine"
            if order["status"] == "FILLED":
                break
        assert (order["cumulative_quantity"], order["leaves_quantity"]) == ("1", "0")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"type": "subscribe", "channel": "user", "product_ids": []}, "authentication failure"),
        (
            {"type": "subscribe", "channel": "level2", "product_ids": ["ETH-EUR"], "jwt": "a.b.c"},
            "authentication failure",
        ),
        ({"type": "subscribe", "channel": "candles"}, "invalid subscription"),
        (
            {"type": "subscribe", "channel": "level2", "product_ids": ["NO-SUCH"]},
            "NO-SUCH is not a valid product",
        ),
    ],
)
async def test_subscriptions_that_are_refused(
    venue: Served, asked: dict[str, Any], answer: str
) -> None:
    async with stream(venue) as socket:
        await socket.send(json.dumps(asked))
        assert json.loads(await socket.recv()) == {"type": "error", "message": answer}


async def test_a_server_that_stops_says_goodbye(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.getbasetemp() / "tls"
    async with serve(directory) as venue:
        socket = await connect(f"wss://{venue.host}", ssl=venue.trusting)
        await subscribe(socket, "heartbeats")
        await said(socket, "subscriptions")
    with pytest.raises(ConnectionClosed):
        await said(socket, "heartbeats")


@pytest.mark.parametrize(
    ("fault", "status"), [("forbidden", 403), ("rate_limited", 429), ("hang", None)]
)
async def test_connections_that_come_to_nothing(
    venue: Served, fault: str, status: int | None
) -> None:
    venue.simulator.faults.add("stream", fault)
    if status is not None:
        with pytest.raises(InvalidStatusCode) as refused:
            async with stream(venue):
                pass
        assert refused.value.status_code == status
        return
    async with stream(venue) as socket:
        await subscribe(socket, "level2", "ETH-EUR")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


async def test_an_authentication_that_fails_once(venue: Served) -> None:
    venue.simulator.faults.add("stream", "unauthorized_flap")
    async with stream(venue) as socket:
        await subscribe(socket, "user", "ETH-EUR")
        refused = json.loads(await socket.recv())
        assert refused == {"type": "error", "message": "authentication failure"}
        await subscribe(socket, "user", "ETH-EUR")
        await said(socket, "user")


async def test_news_that_come_twice_and_out_of_order(venue: Served) -> None:
    async with stream(venue) as socket:
        await subscribe(socket, "user", "ETH-EUR")
        await said(socket, "subscriptions")
        venue.simulator.faults.add("stream", "duplicated_events")
        await ask(venue.client().limit_order_ioc_buy, "mine", "ETH-EUR", "1", "2010")
        numbers = [json.loads(await socket.recv())["sequence_num"] for _ in range(4)]
        assert numbers == [2, 1, 2, 3]


@pytest.mark.parametrize("fault", ["truncated_body", "html_body"])
async def test_news_that_do_not_parse(venue: Served, fault: str) -> None:
    async with stream(venue) as socket:
        await subscribe(socket, "level2", "ETH-EUR")
        await said(socket, "subscriptions")
        venue.simulator.faults.add("stream", fault)
        venue.simulator.set_mid("ETH-EUR", 2100 * ONE)
        with pytest.raises(ValueError, match="line 1 column"):
            json.loads(await socket.recv())


@pytest.mark.parametrize("fault", ["reset_after_send", "server_error_after_execution"])
async def test_connections_that_break(venue: Served, fault: str) -> None:
    async with stream(venue) as socket:
        await subscribe(socket, "level2", "ETH-EUR")
        await said(socket, "subscriptions")
        venue.simulator.faults.add("stream", fault)
        venue.simulator.set_mid("ETH-EUR", 2100 * ONE)
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_token_that_is_not_taken_any_more(venue: Served) -> None:
    async with stream(venue) as socket:
        await subscribe(socket, "level2", "ETH-EUR")
        await said(socket, "subscriptions")
        venue.simulator.faults.add("stream", "unauthorized_flap")
        venue.simulator.set_mid("ETH-EUR", 2100 * ONE)
        told = json.loads(await socket.recv())
        assert told == {"type": "error", "message": "authentication failure"}


async def test_silence_after_a_part(venue: Served) -> None:
    """The fault of an order is the stream's as well: it tells nothing of it."""
    async with stream(venue) as socket:
        await subscribe(socket, "user", "ETH-EUR")
        await said(socket, "subscriptions")
        venue.simulator.faults.add("place", "partial_fill_then_silence")
        client = venue.client(timeout=0.5)
        asked = asyncio.create_task(ask(client.limit_order_ioc_buy, "lost", "ETH-EUR", "1", "2010"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)
        assert venue.simulator.fills()
        with pytest.raises(OSError, match="timed out"):
            await asked
