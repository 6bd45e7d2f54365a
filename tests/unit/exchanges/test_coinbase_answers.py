"""The table from Coinbase's errors to ours, row by row, to a question and to an order."""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from core.errors import OrderRefused, OutcomeUnknown, VenueError, VenueUnavailable
from exchanges.coinbase import answers
from exchanges.coinbase.answers import Answer, Unanswered
from exchanges.coinbase.pace import Lane, Pace
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side
from tests.unit.exchanges.coinbase_stand import Stand, plain, stand

ORDER = LimitOrder(
    client_id="ours-1", symbol="ETH-EUR", side=Side.BUY, quantity=ONE, price=2000 * ONE
)
HTML = "<html><h1>Error 1015</h1></html>"
V3 = '{"error":"INVALID_ARGUMENT","error_details":"no","message":"bad size"}'
V2 = '{"errors":[{"id":"validation_error","message":"bad amount"}]}'
SCOPES = '{"error":"PERMISSION_DENIED","message":"Missing required scopes"}'


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.getbasetemp() / "tls") as there:
        yield there


@pytest.mark.parametrize(
    ("answer", "to_question", "to_order"),
    [
        (plain("Unauthorized\n", 401), VenueUnavailable, VenueUnavailable),
        (plain(HTML, 429), VenueUnavailable, VenueUnavailable),
        (plain(V3, 429, Retry_After="7"), VenueUnavailable, VenueUnavailable),
        (plain(HTML, 418), VenueUnavailable, VenueUnavailable),
        (plain(HTML, 403), VenueUnavailable, VenueUnavailable),
        (plain('{"error":"BLOCKED"}', 403), VenueUnavailable, VenueUnavailable),
        (plain(SCOPES, 403), OrderRefused, OrderRefused),
        (plain(V3, 400), OrderRefused, OrderRefused),
        (plain(V2, 400), OrderRefused, OrderRefused),
        (plain(V3, 404), OrderRefused, OrderRefused),
        (plain(V3, 422), OrderRefused, OrderRefused),
        (plain(HTML, 400), VenueUnavailable, OutcomeUnknown),
        (plain("{}", 400), VenueUnavailable, OutcomeUnknown),
        (plain(V3, 408), VenueUnavailable, OutcomeUnknown),
        (plain(V3, 500), VenueUnavailable, OutcomeUnknown),
        (plain(HTML, 502), VenueUnavailable, OutcomeUnknown),
        (plain(HTML, 503, Retry_After="7"), VenueUnavailable, OutcomeUnknown),
        (plain(HTML, 504), VenueUnavailable, OutcomeUnknown),
        (plain("", 302, Location="/"), VenueUnavailable, OutcomeUnknown),
        (plain(HTML), VenueUnavailable, OutcomeUnknown),
        (plain('{"success":tr'), VenueUnavailable, OutcomeUnknown),
        (plain(""), VenueUnavailable, OutcomeUnknown),
        (plain("[]"), VenueUnavailable, OutcomeUnknown),
        (plain('{"a":NaN}'), VenueUnavailable, OutcomeUnknown),
        (plain("[" * 100_000), VenueUnavailable, OutcomeUnknown),
    ],
)
async def test_the_table(
    venue: Stand, answer: web.Response, to_question: type[VenueError], to_order: type[VenueError]
) -> None:
    venue.answers = [answer]
    for expected, is_order in ((to_question, False), (to_order, True)):
        async with venue.exchange() as exchange:
            with pytest.raises(VenueError) as raised:
                await (exchange.place(ORDER) if is_order else exchange.balances())
            assert type(raised.value) is expected


async def test_what_never_left_is_unavailable_for_an_order_too(venue: Stand) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"https://127.0.0.1:{closed.getsockname()[1]}"
        async with venue.exchange(url=nobody) as exchange:
            with pytest.raises(VenueUnavailable, match="no connection"):
                await exchange.place(ORDER)
    async with venue.exchange(url="https://name.invalid") as exchange:
        with pytest.raises(VenueUnavailable, match="no connection"):
            await exchange.place(ORDER)
    async with venue.exchange(ca_file=None) as exchange:
        with pytest.raises(VenueUnavailable, match="certificate"):
            await exchange.place(ORDER)
    assert not venue.seen


async def test_retry_after_closes_the_whole_venue(venue: Stand) -> None:
    venue.answers = [plain(HTML, 429, Retry_After="30"), plain("{}")]
    async with venue.exchange() as exchange:
        with pytest.raises(VenueUnavailable) as raised:
            await exchange.balances()
        assert raised.value.retry_after == 30
        for call in (exchange.book("ETH-EUR"), exchange.place(ORDER), exchange.health()):
            with pytest.raises(VenueUnavailable, match="left alone"):
                await call
    assert len(venue.seen) == 1


async def test_a_401_names_a_clock_that_differs(venue: Stand) -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    venue.answers = [plain("Unauthorized\n", 401, Date=ahead)]
    async with venue.exchange() as exchange:
        with pytest.raises(VenueUnavailable, match=r"clock is \+(599|600) s from ours"):
            await exchange.balances()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0", 0), ("7", 7), ("999999", 3600), ("-1", None), ("soon", None), ("", None), ("٧", None)],
)
def test_retry_after_as_written(written: str, seconds: int | None) -> None:
    assert answers.retry_after({"retry-after": written}) == seconds


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert answers.retry_after({"retry-after": later}) in (19, 20, 21)
    assert answers.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_a_body_is_read_without_floats() -> None:
    said: Any = answers.read(Answer(200, {}, b'{"a":0.1,"b":1e-7,"c":12345678901234567890}'))
    assert [str(value) for value in said.values()] == ["0.1", "1E-7", "12345678901234567890"]
    with pytest.raises(Unanswered):
        answers.read(Answer(200, {}, b'{"a":Infinity}'))


def test_a_window_is_never_overrun() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    gone: list[float] = []
    for _ in range(200):
        gone.append(now + pace.reserve(Lane.PRIVATE, 60))
        now += 0.001
    for at in gone:
        assert sum(at <= other < at + 1 for other in gone) <= 30
    assert gone[-1] < 110  # and no slower than it must be


def test_who_would_wait_too_long_takes_no_turn() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    for _ in range(10):
        assert pace.reserve(Lane.PUBLIC, 0) == 0
    for _ in range(50):
        with pytest.raises(VenueUnavailable, match="our own limit"):
            pace.reserve(Lane.PUBLIC, 0.5)
    assert pace.reserve(Lane.PRIVATE, 0) == 0
    now += 1.1
    assert pace.reserve(Lane.PUBLIC, 0) == 0


def test_the_venues_own_count_is_believed() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    before = pace.used_percent
    told = {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "12", "x-ratelimit-reset": "1"}
    pace.heard(Lane.PRIVATE, told)
    assert (before, pace.used_percent, pace.reserve(Lane.PRIVATE, 5)) == (None, 60, 0)
    pace.heard(Lane.PRIVATE, told | {"x-ratelimit-remaining": "0"})
    assert (pace.used_percent, math.isclose(pace.reserve(Lane.PRIVATE, 5), 1)) == (100, True)
    pace.heard(Lane.PRIVATE, {"x-ratelimit-limit": "x", "x-ratelimit-remaining": "-4"})
    assert pace.used_percent == 100
