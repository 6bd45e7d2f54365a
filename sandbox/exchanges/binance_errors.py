"""What Binance says when it refuses: HTTP status, its code, its words.

Codes and texts are those of binance-spot-api-docs (errors.md, 2026-07); the wallet's (-4xxx) are
those that clients report. `-1007` and every 5xx leave the outcome unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus


class Problem(Exception):
    """A refusal as Binance sends it: `{"code": code, "msg": message}` with an HTTP status."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = int(status)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        return {"code": self.code, "msg": self.message}


def too_much_weight(limit: int, wait: int, interval: str = "1 MINUTE") -> Problem:
    """429; `wait` seconds until the interval ends."""
    return Problem(
        -1003,
        f"Too much request weight used; current limit is {limit} request weight per {interval}. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        headers={"Retry-After": str(wait)},
    )


def banned(until_ms: int, wait: int) -> Problem:
    """418; `wait` seconds until the ban is over."""
    return Problem(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        status=HTTPStatus.IM_A_TEAPOT,
        headers={"Retry-After": str(wait)},
    )


def too_many_orders(limit: int, interval: str, wait: int) -> Problem:
    return Problem(
        -1015,
        f"Too many new orders; current limit is {limit} orders per {interval}.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        headers={"Retry-After": str(wait)},
    )


def outside_window() -> Problem:
    return Problem(-1021, "Timestamp for this request is outside of the recvWindow.")


def ahead_of_server() -> Problem:
    return Problem(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def bad_signature() -> Problem:
    return Problem(-1022, "Signature for this request is not valid.")


def bad_key_format() -> Problem:
    return Problem(-2014, "API-key format invalid.", status=HTTPStatus.UNAUTHORIZED)


def key_refused() -> Problem:
    return Problem(
        -2015,
        "Invalid API-key, IP, or permissions for action.",
        status=HTTPStatus.UNAUTHORIZED,
    )


def no_such_order() -> Problem:
    return Problem(-2013, "Order does not exist.")


def unknown_order() -> Problem:
    return Problem(-2011, "Unknown order sent.")


def bad_symbol() -> Problem:
    return Problem(-1121, "Invalid symbol.")


def duplicate_order() -> Problem:
    return Problem(-2010, "Duplicate order sent.")


def insufficient_balance() -> Problem:
    return Problem(-2010, "Account has insufficient balance for requested action.")


def filter_failure(name: str) -> Problem:
    """`name`: PRICE_FILTER, LOT_SIZE, NOTIONAL."""
    return Problem(-1013, f"Filter failure: {name}")


def engine_timeout() -> Problem:
    """The matching engine did not answer within 10 s: it may have done it."""
    return Problem(
        -1007,
        "Timeout waiting for response from backend server. "
        "Send status unknown; execution status unknown.",
        status=HTTPStatus.GATEWAY_TIMEOUT,
    )


def unexpected_response() -> Problem:
    return Problem(
        -1006,
        "An unexpected response was received from the message bus. Execution status unknown.",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def disconnected() -> Problem:
    return Problem(
        -1001,
        "Internal error; unable to process your request. Please try again.",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
    )


def missing(name: str) -> Problem:
    return Problem(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def illegal_characters(name: str, legal: str) -> Problem:
    return Problem(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def invalid(name: str) -> Problem:
    return Problem(-1130, f"Data sent for parameter '{name}' is not valid.")
