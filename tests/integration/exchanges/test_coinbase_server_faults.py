"""Every fault of the simulated Coinbase as the real SDK sees it, and what was done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from requests.exceptions import ConnectionError as Disconnected
from requests.exceptions import JSONDecodeError, ReadTimeout

from exchanges.numbers import ONE
from tests.integration.exchanges.coinbase_venue import Served, ask, refusal, serve

BUY = ("ETH-EUR", "1", "2010")


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serve(tmp_path_factory.getbasetemp() / "tls") as served:
        yield served


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 -- the box tells nobody what was taken from it
            await asyncio.sleep(0.01)


def executed(venue: Served) -> int:
    return sum(fill.quantity for fill in venue.simulator.fills())


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        ("timeout_after_execution", 504, ONE),
        ("timeout_before_execution", 504, 0),
        ("server_error_after_execution", 500, ONE),
        ("server_error_before_execution", 500, 0),
        ("rate_limited", 429, 0),
        ("banned", 403, 0),
        ("forbidden", 403, 0),
        ("clock_skew", 401, 0),
        ("bad_signature", 401, 0),
        ("unauthorized_flap", 401, 0),
        ("not_found_lag", 504, ONE),
    ],
)
async def test_orders_that_get_an_error(venue: Served, fault: str, status: int, done: int) -> None:
    client = venue.client()
    venue.simulator.faults.add("place", fault)
    response = await refusal(client.limit_order_ioc_buy, "mine", *BUY)
    assert response.status_code == status
    assert executed(venue) == done
    again = await ask(client.limit_order_ioc_buy, "mine", *BUY)
    assert again["success"] is True
    assert executed(venue) == ONE


async def test_a_limit_is_told_as_json_and_as_a_page_by_turns(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("balances", "rate_limited", 2)
    first, second = [await refusal(client.get_accounts) for _ in range(2)]
    assert first.json()["error"] == "RATE_LIMIT_EXCEEDED"
    assert second.headers["Content-Type"].startswith("text/html")
    assert second.headers["Retry-After"] == "1"
    await ask(client.get_accounts)


@pytest.mark.parametrize(("fault", "wait"), [("forbidden", None), ("banned", "2")])
async def test_a_firewall_answers_with_a_page(venue: Served, fault: str, wait: str | None) -> None:
    venue.simulator.faults.add("book", fault)
    response = await refusal(venue.client().get_product_book, "ETH-EUR")
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers.get("Retry-After") == wait


async def test_a_clock_that_is_off_shows(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("order", "clock_skew")
    response = await refusal(client.list_orders)
    theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
    assert 590 < theirs - time.time() < 610
    venue.simulator.faults.add("any", "clock_skew")
    assert int((await ask(client.get_unix_time))["epoch_seconds"]) > time.time() + 590


async def test_the_401_that_comes_and_goes(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("fills", "unauthorized_flap", 3)
    assert (await refusal(client.get_fills)).text == "Unauthorized\n"
    await ask(client.get_fills)
    await refusal(client.get_fills)
    await ask(client.get_fills)


async def test_a_duplicate_that_is_none(venue: Served) -> None:
    venue.simulator.faults.add("place", "duplicate_order")
    said = await ask(venue.client().limit_order_ioc_buy, "mine", *BUY)
    assert said["success"] is False
    assert said["error_response"]["error"] == "DUPLICATE_CLIENT_ORDER_ID"
    assert venue.simulator.orders() == []


async def test_an_order_that_shows_late(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("place", "not_found_lag", 2)
    assert (await refusal(client.limit_order_ioc_buy, "mine", *BUY)).status_code == 504
    shown = [len((await ask(client.list_orders))["orders"]) for _ in range(3)]
    assert shown == [0, 0, 1]
    venue.simulator.faults.add("order", "not_found_lag", 1)
    shown = [len((await ask(client.list_orders))["orders"]) for _ in range(2)]
    assert shown == [0, 1]


@pytest.mark.parametrize("fault", ["html_body", "truncated_body"])
async def test_answers_that_do_not_parse(venue: Served, fault: str) -> None:
    client = venue.client()
    venue.simulator.faults.add("place", fault)
    venue.simulator.faults.add("fills", fault)
    with pytest.raises(JSONDecodeError):
        await ask(client.limit_order_ioc_buy, "mine", *BUY)
    assert executed(venue) == ONE
    with pytest.raises(JSONDecodeError):
        await ask(client.get_fills)


@pytest.mark.parametrize(
    ("fault", "done"), [("hang", ONE), ("partial_fill_then_silence", ONE // 2)]
)
async def test_no_answer_at_all(venue: Served, fault: str, done: int) -> None:
    venue.simulator.faults.add("place", fault)
    with pytest.raises(ReadTimeout):
        await ask(venue.client(timeout=0.3).limit_order_ioc_buy, "mine", *BUY)
    assert executed(venue) == done
    order = (await ask(venue.client().list_orders))["orders"][0]
    assert order["status"] == ("FILLED" if done == ONE else "CANCELLED")


async def test_what_hangs_ends_with_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with serve(tmp_path_factory.getbasetemp() / "tls") as venue:
        venue.simulator.faults.add("balances", "hang")
        asked = asyncio.create_task(ask(venue.client(timeout=30).get_accounts))
        await until(lambda: not venue.simulator.faults.waiting)
    async with asyncio.timeout(5):
        with pytest.raises(Disconnected):
            await asked


async def test_a_connection_that_is_cut(venue: Served) -> None:
    venue.simulator.faults.add("place", "reset_after_send")
    with pytest.raises(Disconnected):
        await ask(venue.client().limit_order_ioc_buy, "mine", *BUY)
    assert executed(venue) == ONE


async def test_an_order_that_expires(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("place", "expired", 2)
    for number in range(2):
        said = await ask(client.limit_order_ioc_buy, f"mine-{number}", *BUY)
        order = (await ask(client.get_order, said["success_response"]["order_id"]))["order"]
        assert order["status"] == "EXPIRED"
    assert 0 < executed(venue) < ONE


async def test_success_and_failure_at_once(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("place", "success_with_failure_reason", 2)
    done = []
    for number in range(2):
        said = await ask(client.limit_order_ioc_buy, f"mine-{number}", *BUY)
        assert (said["success"], said["failure_reason"]) == (True, "UNKNOWN_FAILURE_REASON")
        assert said["order_id"] == said["success_response"]["order_id"]
        done.append(executed(venue))
    assert done == [0, ONE]


SENT = "/v2/accounts/ETH/transactions"
MONEY: dict[str, Any] = {
    "type": "send",
    "to": "0x" + "cd" * 20,
    "amount": "1",
    "currency": "ETH",
    "idem": "2d0a6f1c-0000-4000-8000-000000000001",
}


@pytest.mark.parametrize(
    ("fault", "done"), [("timeout_before_execution", 0), ("timeout_after_execution", 1)]
)
async def test_sends_of_money_fail_as_well(venue: Served, fault: str, done: int) -> None:
    client = venue.client()
    venue.simulator.faults.add("withdraw", fault)
    assert (await refusal(client.post, SENT, data=MONEY)).status_code == 504
    assert len(venue.simulator.withdrawals()) == done
    await ask(client.post, SENT, data=MONEY)
    assert len(venue.simulator.withdrawals()) == 1


async def test_a_send_of_money_that_shows_late(venue: Served) -> None:
    client = venue.client()
    venue.simulator.faults.add("withdraw", "not_found_lag", 2)
    assert (await refusal(client.post, SENT, data=MONEY)).status_code == 504
    listed = [(await ask(client.get, SENT))["data"] for _ in range(3)]
    assert [len(each) for each in listed] == [0, 0, 1]
