"""One table: what Binance says, and what it means for a question and for an order."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from binance.exceptions import (
    BinanceAPIException,
    BinanceOrderException,
    BinanceRequestException,
)

from core.errors import OrderRefused, OutcomeUnknown, VenueError, VenueUnavailable
from exchanges.binance.errors import NotShown, bad_answer, translate

AWAY, REFUSED, UNKNOWN = VenueUnavailable, OrderRefused, OutcomeUnknown


def json_of(code: int, message: str = "words") -> str:
    return f'{{"code": {code}, "msg": "{message}"}}'


@pytest.mark.parametrize(
    ("status", "text", "meaning", "reason"),
    [
        (400, json_of(-1000), UNKNOWN, None),
        (500, json_of(-1001), UNKNOWN, None),
        (400, json_of(-1006), UNKNOWN, None),
        (400, json_of(-1007), UNKNOWN, None),
        (504, json_of(-1007), UNKNOWN, None),
        (503, json_of(-1008), UNKNOWN, None),
        (503, json_of(-1013), UNKNOWN, None),  # 5xx is never a failure, whatever it says
        (502, "<html>", UNKNOWN, None),
        (200, "<html>", UNKNOWN, None),
        (200, '{"orderId": 1', UNKNOWN, None),
        (200, "", UNKNOWN, None),
        (302, "", UNKNOWN, None),
        (400, "<html>", UNKNOWN, None),
        (400, "[]", UNKNOWN, None),
        (400, '{"code": "-1013"}', UNKNOWN, None),
        (400, json_of(-9999), UNKNOWN, None),
        (429, json_of(-1003), AWAY, None),
        (429, "<html>", AWAY, None),
        (418, json_of(-1003), AWAY, None),
        (403, "<html>", AWAY, None),
        (400, json_of(-1015), AWAY, None),
        (400, json_of(-1021), AWAY, None),
        (400, json_of(-1022), AWAY, None),
        (401, json_of(-2014), AWAY, None),
        (401, json_of(-2015), AWAY, None),
        (400, json_of(-1013, "Filter failure: LOT_SIZE"), REFUSED, "filter"),
        (400, json_of(-1104), REFUSED, "bad_request"),
        (400, json_of(-1121, "Invalid symbol."), REFUSED, "unknown_symbol"),
        (
            400,
            json_of(-2010, "Account has insufficient balance for requested action."),
            REFUSED,
            "insufficient_funds",
        ),
        (400, json_of(-2010, "Market is closed."), REFUSED, "market_closed"),
        (400, json_of(-2010, "This action is disabled on this account."), REFUSED, "rejected"),
        # an order of ours stands under this id
        (400, json_of(-2010, "Duplicate order sent."), UNKNOWN, None),
        (400, json_of(-4026, "The user has insufficient balance"), REFUSED, "insufficient_funds"),
        (400, json_of(-4019), REFUSED, "rejected"),
        (400, json_of(-4000, "withdrawOrderId is repeated"), UNKNOWN, None),
    ],
)
def test_the_table(status: int, text: str, meaning: type[VenueError], reason: str | None) -> None:
    error = bad_answer(status, text, None)
    done = translate(error, executes=True)
    assert type(done) is meaning
    if isinstance(done, OrderRefused):
        assert done.reason == reason
    asked = translate(error, executes=False)
    assert type(asked) is (AWAY if meaning is UNKNOWN else meaning)


def test_no_such_order_answers_a_question_and_nothing_else() -> None:
    error = bad_answer(400, json_of(-2013), None)
    assert type(translate(error, executes=False)) is NotShown
    assert type(translate(error, executes=True)) is UNKNOWN
    assert type(translate(bad_answer(503, json_of(-2013), None), executes=False)) is AWAY


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (None, None), ("", None), ("soon", None), ("²", None), ("9" * 5000, 999_999_999)],
)
def test_retry_after_is_told_on(header: str | None, seconds: int | None) -> None:
    failure = translate(bad_answer(429, json_of(-1003), header), executes=True)
    assert isinstance(failure, VenueUnavailable)
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (TimeoutError(), UNKNOWN),
        (ConnectionResetError(), UNKNOWN),
        (aiohttp.ServerDisconnectedError(), UNKNOWN),
        (aiohttp.ClientPayloadError(), UNKNOWN),
        (aiohttp.ConnectionTimeoutError(), AWAY),
        (
            aiohttp.ClientConnectorError(
                ConnectionKey("127.0.0.1", 1, False, False, None, None, None), OSError("refused")
            ),
            AWAY,
        ),
        (BinanceRequestException("Invalid Response"), UNKNOWN),
        (BinanceAPIException(None, 400, json_of(-1013)), REFUSED),
        (BinanceAPIException(None, 504, json_of(-1007)), UNKNOWN),
        (BinanceOrderException(-1013, "Amount must be a multiple"), REFUSED),
    ],
)
def test_what_never_became_an_answer(error: Exception, meaning: type[VenueError]) -> None:
    assert type(translate(error, executes=True)) is meaning
    asked = translate(error, executes=False)
    assert type(asked) is (AWAY if meaning is UNKNOWN else meaning)
