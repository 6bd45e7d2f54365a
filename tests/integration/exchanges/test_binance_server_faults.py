"""Every switchable fault in Binance's dialect, met by the real SDK: what it sees, and what was done
behind it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from binance.exceptions import BinanceAPIException, BinanceRequestException

from exchanges.numbers import parse
from sandbox.exchanges.faults import Fault
from sandbox.exchanges.types import OrderStatus
from tests.integration.exchanges.binance_venue import ELSEWHERE, Binance, order, venue
from tests.waiting import eventually

__all__ = ["venue"]
UNKNOWN = (
    "Timeout waiting for response from backend server. "
    "Send status unknown; execution status unknown."
)


def place(venue: Binance, **changes: Any) -> Any:
    return venue.client.create_order(**order(**changes))


@pytest.mark.parametrize(
    ("fault", "status", "code", "text", "done"),
    [
        (Fault.TIMEOUT_AFTER_EXECUTION, 504, -1007, UNKNOWN, True),
        (Fault.TIMEOUT_BEFORE_EXECUTION, 504, -1007, UNKNOWN, False),
        (Fault.SERVER_ERROR_AFTER_EXECUTION, 500, -1006, "An unexpected response", True),
        (Fault.SERVER_ERROR_BEFORE_EXECUTION, 503, -1001, "Internal error; unable", False),
        (Fault.RATE_LIMITED, 429, -1003, "Too much request weight used; current limit", False),
        (Fault.BANNED, 418, -1003, "Way too much request weight used; IP banned until", False),
        (Fault.CLOCK_SKEW, 400, -1021, "Timestamp for this request is outside of the", False),
        (Fault.BAD_SIGNATURE, 400, -1022, "Signature for this request is not valid.", False),
        (Fault.DUPLICATE_ORDER, 400, -2010, "Duplicate order sent.", False),
        (Fault.UNAUTHORIZED_FLAP, 401, -2015, "Invalid API-key, IP, or permissions", False),
        (Fault.FORBIDDEN, 403, 0, "Invalid JSON error message", False),
        (Fault.HTML_BODY, 502, 0, "Invalid JSON error message", True),
        (Fault.NOT_FOUND_LAG, 504, -1007, UNKNOWN, True),
    ],
)
async def test_a_refusal_comes_with_its_code_and_goes_away(
    venue: Binance, fault: Fault, status: int, code: int, text: str, done: bool
) -> None:
    venue.simulator.faults.add("place", fault)
    with pytest.raises(BinanceAPIException) as caught:
        await place(venue)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.message.startswith(text)
    assert len(venue.simulator.orders()) == int(done)
    if status in (418, 429):
        assert int(caught.value.response.headers["Retry-After"]) > 0
    await place(venue, newClientOrderId="order-2")
    assert len(venue.simulator.orders()) == int(done) + 1


async def test_half_of_an_answer_is_no_json(venue: Binance) -> None:
    venue.simulator.faults.add("place", "truncated_body")
    with pytest.raises(BinanceRequestException):
        await place(venue)
    assert len(venue.simulator.orders()) == 1


async def test_a_connection_is_cut_after_the_order_was_done(venue: Binance) -> None:
    venue.simulator.faults.add("place", "reset_after_send")
    with pytest.raises(aiohttp.ClientError):
        await place(venue)
    assert len(venue.simulator.orders()) == 1
    assert (await venue.client.get_order(symbol="ETHEUR", origClientOrderId="order-1"))["orderId"]


async def test_a_reset_is_a_reset_on_the_wire(venue: Binance) -> None:
    venue.simulator.faults.add("book", "reset_after_send")
    reader, writer = await asyncio.open_connection("127.0.0.1", venue.port)
    writer.write(b"GET /api/v3/depth?symbol=ETHEUR HTTP/1.1\r\nHost: here\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


@pytest.mark.parametrize("fault", ["hang", "partial_fill_then_silence"])
async def test_nothing_is_answered_until_the_client_gives_up(venue: Binance, fault: str) -> None:
    venue.simulator.faults.add("place", fault)
    venue.client.REQUEST_TIMEOUT = 0.2
    with pytest.raises(TimeoutError):
        await place(venue)
    (done,) = venue.simulator.orders()
    if fault == "partial_fill_then_silence":
        assert 0 < done.filled < done.quantity
    else:
        assert done.status is OrderStatus.FILLED
    found = await venue.client.get_order(symbol="ETHEUR", origClientOrderId="order-1")
    assert parse(found["executedQty"]) == done.filled


async def test_a_hang_ends_with_the_server(venue: Binance) -> None:
    venue.simulator.faults.add("place", "hang")
    hanging = asyncio.create_task(place(venue))

    async def executed() -> bool:
        return bool(venue.simulator.orders())

    await eventually(executed)
    began = time.monotonic()
    await venue.runner.cleanup()
    with pytest.raises(aiohttp.ClientError):
        await hanging
    assert time.monotonic() - began < 2


async def test_an_order_is_not_found_for_a_while(venue: Binance) -> None:
    venue.simulator.faults.add("place", "not_found_lag", 2)
    with pytest.raises(BinanceAPIException):
        await place(venue)
    for _ in range(2):
        with pytest.raises(BinanceAPIException) as caught:
            await venue.client.get_order(symbol="ETHEUR", origClientOrderId="order-1")
        assert (caught.value.status_code, caught.value.code) == (400, -2013)
    found = await venue.client.get_order(symbol="ETHEUR", origClientOrderId="order-1")
    assert found["status"] == "FILLED"


async def test_lists_hide_what_queries_do_not_find(venue: Binance) -> None:
    await place(venue)
    venue.simulator.faults.add("place", "not_found_lag", 1)
    with pytest.raises(BinanceAPIException):
        await place(venue, newClientOrderId="order-2")
    assert len(await venue.client.get_my_trades(symbol="ETHEUR")) == 1
    orders = [await venue.client.get_all_orders(symbol="ETHEUR") for _ in range(2)]
    assert [len(found) for found in orders] == [1, 2]
    assert len(await venue.client.get_my_trades(symbol="ETHEUR")) == 2


async def test_a_query_can_lag_by_itself(venue: Binance) -> None:
    await place(venue)
    venue.simulator.faults.add("order", "not_found_lag")
    venue.simulator.faults.add("fills", "not_found_lag")
    with pytest.raises(BinanceAPIException) as caught:
        await venue.client.get_order(symbol="ETHEUR", origClientOrderId="order-1")
    assert caught.value.code == -2013
    assert await venue.client.get_my_trades(symbol="ETHEUR") == []
    assert len(await venue.client.get_my_trades(symbol="ETHEUR")) == 1


async def test_an_order_expires_although_the_book_would_fill_it(venue: Binance) -> None:
    venue.simulator.faults.add("place", "expired")
    placed = await place(venue)
    assert placed["status"] == "EXPIRED"
    assert parse(placed["executedQty"]) < parse("0.5")


async def test_an_answer_with_200_can_be_a_rejected_order(venue: Binance) -> None:
    venue.simulator.faults.add("place", "success_with_failure_reason")
    assert (await place(venue))["status"] == "REJECTED"
    assert venue.simulator.orders() == []
    venue.simulator.faults.add("balances", "success_with_failure_reason")
    assert (await venue.client.get_account())["code"] == -1000


@pytest.mark.parametrize("operation", ["order", "fills", "balances", "book", "any"])
async def test_a_fault_meets_its_operation_only(venue: Binance, operation: str) -> None:
    client = venue.client
    calls = {
        "order": lambda: client.get_open_orders(symbol="ETHEUR"),
        "fills": lambda: client.get_my_trades(symbol="ETHEUR"),
        "balances": client.get_account,
        "book": lambda: client.get_order_book(symbol="ETHEUR"),
        "any": client.get_server_time,
    }
    venue.simulator.faults.add(operation, "server_error_before_execution")
    if operation != "any":
        for other in calls.keys() - {operation}:
            await calls[other]()
    with pytest.raises(BinanceAPIException) as caught:
        await calls[operation]()
    assert caught.value.status_code == 503
    await calls[operation]()


@pytest.mark.parametrize(
    ("fault", "done"),
    [("timeout_after_execution", 1), ("timeout_before_execution", 0), ("unauthorized_flap", 0)],
)
async def test_a_withdrawal_may_have_left(venue: Binance, fault: str, done: int) -> None:
    venue.simulator.faults.add("withdraw", fault)
    with pytest.raises(BinanceAPIException):
        await venue.client.withdraw(
            coin="ETH", network="ETH", address=ELSEWHERE, amount="1", withdrawOrderId="w1"
        )
    found = await venue.client.get_withdraw_history(withdrawOrderId="w1")
    assert len(found) == done


async def test_a_withdrawal_is_not_found_for_a_while(venue: Binance) -> None:
    venue.simulator.faults.add("withdraw", "not_found_lag", 2)
    with pytest.raises(BinanceAPIException):
        await venue.client.withdraw(
            coin="ETH", network="ETH", address=ELSEWHERE, amount="1", withdrawOrderId="w1"
        )
    found = [await venue.client.get_withdraw_history(withdrawOrderId="w1") for _ in range(3)]
    assert [len(each) for each in found] == [0, 0, 1]


async def test_a_fault_comes_as_often_as_it_was_asked_for(venue: Binance) -> None:
    venue.simulator.faults.add("balances", "rate_limited", 3)
    for _ in range(3):
        with pytest.raises(BinanceAPIException):
            await venue.client.get_account()
    await venue.client.get_account()
