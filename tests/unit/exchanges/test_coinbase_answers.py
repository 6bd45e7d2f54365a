"""The table from Coinbase's errors to ours, row by row, to a question and to an order."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
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
from exchanges.types import Balance, LimitOrder, Side
from tests.unit.exchanges.coinbase_stand import Stand, plain, stand

ORDER = LimitOrder(
    client_id="ours-1", symbol="ETH-EUR", side=Side.BUY, quantity=ONE, price=2000 * ONE
)
HTML = "<html><h1>Error 1015</h1></html>"
V3 = '{"error":"INVALID_ARGUMENT","error_details":"no","message":"bad size"}'
V2 = '{"errors":[{"id":"validation_error","message":"bad amount"}]}'
NEVER = f"Wed, 21 Oct 2015 07:28:00 +{'9' * 22}"  # no number of a clock's
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
        (plain(HTML, 503, Retry_After=NEVER, Date=NEVER), VenueUnavailable, OutcomeUnknown),
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


async def test_an_answer_in_pieces_is_read_whole(venue: Stand) -> None:
    """Compressed, with pieces that decompress to nothing yet."""
    account = {"currency": "EUR", "available_balance": {"value": "1.5"}, "hold": {"value": "2"}}
    body = gzip.compress(json.dumps({"accounts": [account], "has_next": False}).encode())

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        for piece in (body[:10], body[10:11], body[11:40], body[40:]):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    venue.answers = [in_pieces]
    async with venue.exchange() as exchange:
        assert await exchange.balances() == {"EUR": Balance(3 * ONE // 2, 2 * ONE)}


async def test_an_answer_that_drips_ends_with_its_time(venue: Stand) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    venue.answers = [drip]
    async with venue.exchange(timeout=0.2) as exchange:
        with pytest.raises(OutcomeUnknown, match="did not end in time"):
            await exchange.place(ORDER)


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


async def test_a_window_is_never_overrun_however_long_requests_travel() -> None:
    pace = Pace({Lane.PRIVATE: (4, 0.05)})
    came: list[float] = []

    async def ask(travel: float) -> None:
        async with pace.turn(Lane.PRIVATE, 10):
            await asyncio.sleep(travel)
            came.append(time.monotonic())

    await asyncio.gather(*(ask(0.02 * (n % 3)) for n in range(24)))
    for at in came:
        assert sum(at <= other < at + 0.05 for other in came) <= 4


async def test_who_would_wait_too_long_does_not_go() -> None:
    pace = Pace({Lane.PRIVATE: (2, 60), Lane.APP: (9, 60), Lane.PUBLIC: (1, 60)})
    async with pace.turn(Lane.APP, 1), pace.turn(Lane.PRIVATE, 1):
        pass
    for lane in (Lane.PRIVATE, Lane.APP):  # a key's v2 calls count with its others
        with pytest.raises(VenueUnavailable, match="our own limit"):
            async with pace.turn(lane, 0.01):
                pytest.fail("it went")
    async with pace.turn(Lane.PUBLIC, 0.01):
        pass


async def test_the_venues_own_count_is_believed() -> None:
    pace = Pace()
    assert pace.used_percent is None
    told = {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "12", "x-ratelimit-reset": "9"}
    pace.heard(Lane.PRIVATE, told)
    async with pace.turn(Lane.PRIVATE, 0.01):
        used = [pace.used_percent]
    for headers in (
        told | {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-limit": "x", "x-ratelimit-remaining": "-4"},
        {},
    ):
        pace.heard(Lane.PRIVATE, headers)
        used.append(pace.used_percent)
    assert used == [60, 100, 100, 100]
    with pytest.raises(VenueUnavailable, match="our own limit"):
        async with pace.turn(Lane.PRIVATE, 0.01):
            pytest.fail("it went")


@pytest.mark.parametrize("idle", [True, False])
async def test_a_limit_that_is_lower_today_is_kept(idle: bool) -> None:
    """Also by those that wait already; and it may rise again, to what is documented."""
    pace = Pace({Lane.PRIVATE: (4, 60), Lane.APP: (4, 60)})

    async def going(count: int) -> int:
        went = 0
        for _ in range(count):
            with suppress(VenueUnavailable):
                async with pace.turn(Lane.PRIVATE, 0.01):
                    went += 1
        return went

    if not idle:
        assert await going(1) == 1
    pace.heard(Lane.APP, {"x-ratelimit-limit": "1"})
    pace.heard(Lane.PRIVATE, {"x-ratelimit-limit": "2"})
    assert await going(3) == (2 if idle else 1)
    pace.heard(Lane.PRIVATE, {"x-ratelimit-limit": "3"})
    assert await going(3) == 1
    pace.heard(Lane.PRIVATE, {"x-ratelimit-limit": "90"})
    assert await going(3) == 1


async def test_a_venue_that_closes_while_others_wait_is_left_alone_by_them() -> None:
    pace = Pace({Lane.PRIVATE: (1, 0.01)})
    async with pace.turn(Lane.PRIVATE, 1):
        waiting = asyncio.ensure_future(_go(pace))
        await asyncio.sleep(0)
        pace.close(30)
    with pytest.raises(VenueUnavailable, match="left alone"):
        await waiting


async def _go(pace: Pace) -> None:
    async with pace.turn(Lane.PRIVATE, 1):
        pytest.fail("it went")
