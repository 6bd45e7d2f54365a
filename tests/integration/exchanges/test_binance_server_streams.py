"""The Binance simulator's streams: our account's news by the SDK's WebSocket API, books by
differences, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from binance.async_client import AsyncClient
from binance.exceptions import BinanceAPIException
from websockets.asyncio.client import connect

from exchanges.numbers import ONE, parse
from tests.integration.exchanges.binance_venue import (
    ED_KEY,
    ED_PEM,
    ELSEWHERE,
    KEY,
    SECRET,
    Binance,
    hang_up,
    leave,
    order,
    sdk,
    venue,
)

__all__ = ["venue"]
DEADLINE = 5


async def until(stream: Any, wanted: Callable[[Any], bool]) -> list[Any]:
    """What the stream says up to and with what is wanted."""
    seen: list[Any] = []
    async with asyncio.timeout(DEADLINE):
        while True:
            said = await stream.recv()
            seen.append(json.loads(said) if isinstance(said, str | bytes) else said)
            if wanted(seen[-1]):
                return seen


@asynccontextmanager
async def books(venue: Binance, path: str) -> AsyncIterator[Any]:
    async with connect(f"ws://127.0.0.1:{venue.port}{path}", close_timeout=0.1) as stream:
        yield stream


@asynccontextmanager
async def account(venue: Binance, client: AsyncClient | None = None) -> AsyncIterator[Any]:
    """The SDK's own socket of the user data stream."""
    socket = venue.sockets(client).user_socket()
    await socket.connect()
    yield socket


def trade(venue: Binance, **changes: Any) -> None:
    """Straight into the engine: a sale of ours."""
    venue.simulator.place(
        client_id=changes.get("client_id", "own"),
        symbol="ETH-EUR",
        side="sell",
        quantity=changes.get("quantity", ONE),
        price=parse("2200"),
    )


def ends(name: str) -> Callable[[Any], bool]:
    return lambda event: bool(event.get("e") == name)


# -- our account -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_the_sdk_subscribes_by_signature_and_hears_of_an_order(
    venue: Binance, kind: str
) -> None:
    keys = (KEY, SECRET, None) if kind == "hmac" else (ED_KEY, None, ED_PEM)
    client = sdk(venue.port, *keys)
    try:
        async with account(venue, client) as stream:
            placed = await client.create_order(**order(quantity="0.5"))
            seen = await until(stream, ends("outboundAccountPosition"))
    finally:
        await leave(client)
    reports, position = seen[:-1], seen[-1]
    assert [(r["x"], r["X"]) for r in reports] == [("NEW", "NEW"), ("TRADE", "FILLED")]
    assert {r["c"] for r in reports} == {"order-1"}
    assert reports[-1]["i"] == placed["orderId"]
    assert reports[-1]["t"] == placed["fills"][0]["tradeId"]
    assert reports[-1]["Z"] == placed["cummulativeQuoteQty"]
    assert (reports[-1]["n"], reports[-1]["N"]) == (placed["fills"][0]["commission"], "EUR")
    assert {b["a"]: b["f"] for b in position["B"]}["ETH"] == "99.50000000"


async def test_an_expired_rest_and_a_cancelled_order_are_told(venue: Binance) -> None:
    async with account(venue) as stream:
        await venue.client.create_order(**order(price="2300"))
        (*_, expired) = await until(stream, lambda event: event.get("x") == "EXPIRED")
        assert expired["eR"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
        resting = order(price="2300", timeInForce="GTC", newClientOrderId="order-2")
        placed = await venue.client.create_order(**resting)
        answer = await venue.client.cancel_order(symbol="ETHEUR", orderId=placed["orderId"])
        (*_, ended) = await until(stream, lambda event: event.get("x") == "CANCELED")
        assert (ended["C"], ended["X"], ended["w"]) == ("order-2", "CANCELED", False)
        assert ended["c"] == answer["clientOrderId"] != "order-2"


async def test_money_that_comes_or_leaves_is_a_balance_update(venue: Binance) -> None:
    async with account(venue) as stream:
        await venue.client.withdraw(coin="ETH", network="ETH", address=ELSEWHERE, amount="1.5")
        (*_, update) = await until(stream, ends("balanceUpdate"))
        assert (update["a"], update["d"]) == ("ETH", "-1.50000000")
        trade(venue)  # an execution is none
        venue.simulator.adjust("EUR", parse("7"))
        (*before, update) = await until(stream, ends("balanceUpdate"))
        assert (update["a"], update["d"]) == ("EUR", "7.00000000")
        assert not [event for event in before if event["e"] == "balanceUpdate"]


async def test_a_wrong_signature_subscribes_to_nothing(venue: Binance) -> None:
    wrong = sdk(venue.port, KEY, "wrong", None)
    try:
        with pytest.raises(BinanceAPIException) as caught:
            async with account(venue, wrong):
                pass
        assert (caught.value.status_code, caught.value.code) == (400, -1022)
    finally:
        await leave(wrong)


async def test_the_websocket_api_refuses_as_the_venue_does(venue: Binance) -> None:
    async with books(venue, "/ws-api/v3") as stream:
        for sent, status, code in (
            ({"id": 1, "method": "userDataStream.start"}, 410, -1016),
            ({"id": 2, "method": "no.such"}, 400, -1020),
            ({"id": 3, "method": "userDataStream.subscribe.signature"}, 400, -1102),
            ({"id": 4, "method": "userDataStream.unsubscribe"}, 400, -2036),
        ):
            await stream.send(json.dumps(sent))
            (answer,) = await until(stream, lambda _: True)
            assert (answer["id"], answer["status"]) == (sent["id"], status)
            assert answer["error"]["code"] == code
            assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"


async def test_a_known_way_to_say_ping_and_time(venue: Binance) -> None:
    assert await venue.client._ws_api_request("ping", signed=False, params={}) == {}
    answer = await venue.client._ws_api_request("time", signed=False, params={})
    assert answer["serverTime"] > 1_700_000_000_000


# -- books -------------------------------------------------------------------------------------


async def test_a_book_kept_by_differences_is_the_venues_book(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        snapshot = await venue.client.get_order_book(symbol="ETHEUR", limit=5000)
        last = snapshot["lastUpdateId"]
        kept = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        for step in range(6):
            trade(venue, quantity=3 * ONE, client_id=f"o{step}")
            venue.simulator.set_mid("ETH-EUR", parse(f"22{70 + step}.5"))
            now = venue.simulator.book("ETH-EUR").sequence
            for event in await until(stream, lambda event, now=now: event["u"] >= now):  # type: ignore[misc]
                assert event["U"] == last + 1
                last = event["u"]
                for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                    kept[side].update(changes)
        for side in kept:
            kept[side] = {p: q for p, q in kept[side].items() if parse(q)}
        truth = await venue.client.get_order_book(symbol="ETHEUR", limit=5000)
        assert truth["lastUpdateId"] == last
        assert {side: dict(truth[side]) for side in kept} == kept


async def test_a_quiet_book_says_nothing_and_answers_pings(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        async with asyncio.timeout(DEADLINE):
            await (await stream.ping(b"still there?"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await stream.recv()


async def test_combined_streams_name_their_stream(venue: Binance) -> None:
    path = "/stream?streams=etheur@bookTicker/etheur@depth5@100ms/nothing@depth"
    async with books(venue, path) as stream:
        trade(venue)
        seen = await until(stream, lambda event: event["stream"] == "etheur@bookTicker")
        best = (await venue.client.get_order_book(symbol="ETHEUR", limit=5))["bids"]
        assert (seen[-1]["data"]["b"], seen[-1]["data"]["s"]) == (best[0][0], "ETHEUR")
        seen = await until(stream, lambda event: event["stream"] == "etheur@depth5@100ms")
        assert seen[-1]["data"]["bids"] == best


async def test_streams_are_subscribed_to_while_connected(venue: Binance) -> None:
    async with books(venue, "/ws") as stream:
        for method, names in (("SUBSCRIBE", ["etheur@depth@100ms"]), ("LIST_SUBSCRIPTIONS", None)):
            await stream.send(json.dumps({"method": method, "params": names, "id": 7}))
        first, second = [(await until(stream, lambda _: True))[0] for _ in range(2)]
        assert first == {"result": None, "id": 7}
        assert second == {"result": ["etheur@depth@100ms"], "id": 7}
        trade(venue)
        assert (await until(stream, lambda event: "u" in event))[-1]["s"] == "ETHEUR"
        await stream.send(json.dumps({"method": "SHOUT", "id": 8}))
        assert (await until(stream, lambda event: "code" in event))[-1]["code"] == 2


async def test_the_sdk_reads_the_depth_stream(venue: Binance) -> None:
    stream = venue.sockets().depth_socket("ETHEUR", interval=100)
    await stream.connect()
    try:
        trade(venue)
        async with asyncio.timeout(DEADLINE):
            assert (await stream.recv())["e"] == "depthUpdate"
    finally:
        await hang_up(stream)


async def test_who_talks_too_much_is_disconnected(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth") as stream:
        for i in range(8):
            await stream.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": i}))
        with pytest.raises(websockets.ConnectionClosed):
            await until(stream, lambda _: False)


async def test_the_end_of_the_server_is_announced(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth") as stream:
        ending = asyncio.create_task(venue.runner.cleanup())
        assert (await until(stream, lambda _: True))[0]["e"] == "serverShutdown"
        with pytest.raises(websockets.ConnectionClosed):
            await until(stream, lambda _: False)
        await ending


# -- faults ------------------------------------------------------------------------------------


async def test_events_come_twice_and_out_of_order(venue: Binance) -> None:
    async with account(venue) as stream:
        venue.simulator.faults.add("stream", "duplicated_events")
        trade(venue, client_id="o1")
        seen = [(await until(stream, lambda _: True))[0] for _ in range(6)]
        assert seen[:3] == seen[:2:-1]  # backwards first, then as they happened
        assert [event.get("x") for event in seen[3:]] == ["NEW", "TRADE", None]
        trade(venue, client_id="o2")
        (first,) = await until(stream, lambda _: True)
        assert (first["c"], first["x"]) == ("o2", "NEW")


async def test_a_difference_comes_twice_between_an_old_one(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        trade(venue, client_id="o1")
        (old,) = await until(stream, lambda _: True)
        venue.simulator.faults.add("stream", "duplicated_events")
        trade(venue, client_id="o2")
        seen = [(await until(stream, lambda _: True))[0] for _ in range(3)]
        assert [event["u"] == old["u"] for event in seen] == [False, True, False]
        assert seen[0] == seen[2]


async def test_half_an_event_is_no_json(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        venue.simulator.faults.add("stream", "truncated_body")
        trade(venue)
        with pytest.raises(json.JSONDecodeError):
            await until(stream, lambda _: True)


@pytest.mark.parametrize("fault", ["reset_after_send", "server_error_before_execution"])
async def test_a_stream_breaks_off(venue: Binance, fault: str) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        venue.simulator.faults.add("stream", fault)
        trade(venue)
        with pytest.raises(websockets.ConnectionClosed):
            await until(stream, lambda _: False)


async def test_a_silent_stream_does_not_even_answer_pings(venue: Binance) -> None:
    async with books(venue, "/ws/etheur@depth@100ms") as stream:
        venue.simulator.faults.add("stream", "hang")
        trade(venue, client_id="o1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await stream.recv()
        waiter = await stream.ping()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.shield(waiter)
        assert venue.simulator.faults.waiting == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [("rate_limited", 429), ("banned", 418), ("forbidden", 403), ("html_body", 502)],
)
async def test_a_handshake_is_refused(venue: Binance, fault: str, status: int) -> None:
    venue.simulator.faults.add("stream", fault)
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with books(venue, "/ws/etheur@depth"):
            pass
    assert caught.value.response.status_code == status
    async with books(venue, "/ws/etheur@depth"):
        pass


@pytest.mark.parametrize(("fault", "code"), [("unauthorized_flap", -2015), ("clock_skew", -1021)])
async def test_a_subscription_is_refused(venue: Binance, fault: str, code: int) -> None:
    venue.simulator.faults.add("stream", fault)
    with pytest.raises(BinanceAPIException) as caught:
        async with account(venue):
            pass
    assert caught.value.code == code


async def test_a_partly_filled_order_is_not_told_of(venue: Binance) -> None:
    async with account(venue) as stream:
        venue.simulator.faults.add("place", "partial_fill_then_silence")
        venue.client.REQUEST_TIMEOUT = 0.2
        with pytest.raises(TimeoutError):
            await venue.client.create_order(**order(newClientOrderId="silent"))
        trade(venue, client_id="o2")
        seen = await until(stream, lambda e: e.get("c") == "o2" and e["x"] == "TRADE")
        assert "silent" not in {event.get("c") for event in seen}
