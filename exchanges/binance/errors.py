"""What Binance's refusals mean: the one table from its answers to ours (VENUES 2, 3).

Codes are those of binance-spot-api-docs errors.md (a5e0bc3, 2026-07); the wallet's (-4xxx) are
documented nowhere and come from what its users report. The rules above the table: 5xx is never a
failure (rest-api.md, "HTTP Return Codes"), and after an order or a withdrawal whatever does not say
plainly that nothing was done is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from binance.exceptions import (
    BinanceAPIException,
    BinanceOrderException,
    BinanceRequestException,
)

from core import http_headers
from core.clock import wall
from core.errors import (
    OrderRefused,
    OutcomeUnknown,
    UnreadableAnswer,
    VenueError,
    VenueUnavailable,
)
from exchanges.numbers import read_json

OUTSIDE_WINDOW = -1021
"""Our clock is not the venue's: measure it again."""
_NO_SUCH_ORDER = -2013
_REJECTED = -2010
_AWAY = {
    -1002: "not authorized",
    -1003: "too many requests",
    -1015: "too many orders",
    -1016: "the service is shut down",
    OUTSIDE_WINDOW: "the clocks differ",
    -1022: "the signature is said to be wrong",
    -1034: "too many connections",
    -2014: "the API key's format is said to be wrong",
    -2015: "key, address or permission is refused",
    -4005: "too many requests",
}
"""Nothing was done, and asking again is safe."""
_UNKNOWN = (-1000, -1001, -1006, -1007, -1008)
"""May have been done, whatever the status."""
_REFUSED = {
    -1013: "filter",
    -1014: "bad_request",
    -1020: "bad_request",
    -1121: "unknown_symbol",
    -1122: "unknown_symbol",
    -1220: "market_closed",
    -2016: "market_closed",
    -2026: "archived",
    -2039: "bad_request",
}
"""Final: nothing was done. -11xx besides are requests that cannot be read (`bad_request`)."""
_REJECTIONS = {
    "Account has insufficient balance for requested action.": "insufficient_funds",
    "Market is closed.": "market_closed",
}
"""Words of the matching engine with -2010."""
_DUPLICATE = "Duplicate order sent."
_LIMITED = (403, 418, 429)


class BadAnswer(Exception):
    """An HTTP answer that is not a result. `code` None: not Binance's JSON."""

    def __init__(self, status: int, code: int | None, message: str, wait: int | None) -> None:
        super().__init__(f"HTTP {status}, {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.wait = wait


class NotShown(VenueUnavailable):
    """-2013: the venue shows no such order, which just after sending may be lag."""


def bad_answer(status: int, text: str, retry_after: str | None) -> BadAnswer:
    """An answer outside 2xx, or one within that is not JSON."""
    wait = http_headers.retry_after(retry_after, wall())
    try:
        body = read_json(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), int):
        return BadAnswer(status, body["code"], str(body.get("msg"))[:200], wait)
    return BadAnswer(status, None, f"{len(text)} characters that are not its JSON", wait)


def translate(error: Exception, *, executes: bool) -> VenueError:
    """Any failure of a call. `executes`: it places an order or sends a withdrawal."""
    if isinstance(error, VenueError):
        return error
    if isinstance(error, BadAnswer):
        return _of_answer(error, executes)
    if isinstance(error, BinanceAPIException | BinanceOrderException):
        status = getattr(error, "status_code", None) or 400
        code = error.code if isinstance(error.code, int) and error.code else None
        return _of_answer(BadAnswer(status, code, str(error.message)[:200], None), executes)
    if isinstance(error, BinanceRequestException):
        return _open(executes, "binance: an answer that cannot be read")
    # a connection that never stood: nothing can have been sent
    unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return _open(executes and not unsent, f"binance: {type(error).__name__}")


def _of_answer(answer: BadAnswer, executes: bool) -> VenueError:
    text = f"binance: HTTP {answer.status}, {answer.code}: {answer.message}"
    code = answer.code
    if answer.status in _LIMITED:
        return VenueUnavailable(text, retry_after=answer.wait)
    if code is None or answer.status >= 500 or code in _UNKNOWN:
        return _open(executes, text)
    if code in _AWAY:
        return VenueUnavailable(f"binance: {_AWAY[code]} ({text})", retry_after=answer.wait)
    if code == _NO_SUCH_ORDER:
        return OutcomeUnknown(text) if executes else NotShown(text)
    if code == _REJECTED:
        # our id stands at an open order: it is ours, sent before, so ask for it
        if answer.message == _DUPLICATE:
            return _open(executes, text)
        return OrderRefused(_REJECTIONS.get(answer.message, "rejected"), text)
    if code in _REFUSED:
        return OrderRefused(_REFUSED[code], text)
    if -1200 < code <= -1100:
        return OrderRefused("bad_request", text)
    if -5000 < code <= -4000 and "repeat" not in answer.message.lower():
        return OrderRefused("insufficient_funds" if code == -4026 else "rejected", text)
    return _open(executes, text)


def _open(executes: bool, text: str) -> VenueError:
    return OutcomeUnknown(text) if executes else VenueUnavailable(text)


@contextmanager
def reading(what: str, *, executes: bool = False) -> Iterator[None]:
    """Around what takes an answer apart: a shape that was not expected is UnreadableAnswer, or
    OutcomeUnknown after something that may have been done."""
    problem: VenueError
    try:
        yield
        return
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, UnreadableAnswer) as error:
        text = f"binance: {what} cannot be read: {type(error).__name__} {str(error)[:100]}"
        problem = OutcomeUnknown(text) if executes else UnreadableAnswer(text)
    raise problem from None
