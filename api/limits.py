"""What a request may weigh and hold, and how often one may come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.types import Message, Receive, Scope

from core.errors import Invalid, Refused, TooLarge, TooMany
from core.limiter import Allowance, Limiter
from core.nesting import DEEPEST, is_deep

MAX_BODY = 256 * 1024
# A client that is still sending is listened to up to here, so that it can read the refusal.
_DRAIN = 8 * 1024 * 1024


def take(scope: Scope, limiter: Limiter, asker: object) -> None:
    """One request of `asker`; its allowance goes into the answer's headers. Raises TooMany."""
    allowance = limiter.take(asker)
    scope["state"]["allowance"] = allowance
    if not allowance.allowed:
        raise TooMany(
            "too many requests; slow down",
            headers={"Retry-After": str(allowance.retry_after)},
        )


def headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        (b"ratelimit-limit", b"%d" % allowance.limit),
        (b"ratelimit-remaining", b"%d" % allowance.remaining),
        (b"ratelimit-reset", b"%d" % allowance.reset),
    ]


def has_body(scope: Scope) -> bool:
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises TooLarge above 256 KiB, also when its length was not announced."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= _DRAIN:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        more = message.get("more_body", False)
    if size > MAX_BODY:
        raise TooLarge(
            f"the body is larger than {MAX_BODY} bytes",
            headers={"Connection": "close"} if more else None,
        )
    return b"".join(chunks)


def body_of(scope: Scope) -> bytes:
    """The body that `Edge` has read."""
    body: bytes = scope["state"].get("body", b"")
    return body


def replay(body: bytes, receive: Receive) -> Receive:
    """Hands a body that was read on to the application."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_address(scope: Scope) -> None:
    """Raises Invalid for U+0000 in path or query."""
    if "\x00" in scope["path"]:
        raise Invalid.of("path", "U+0000 is not allowed")
    if b"%00" in scope["query_string"]:
        raise Invalid.of("query", "U+0000 is not allowed")


def check_body(body: bytes) -> None:
    r"""Refuses what JSON may spell but text must not hold: U+0000 and lone surrogates.

    Looks closer only when an escape could stand for one of them. Raises Invalid, or Refused
    (400) for what is not UTF-8.
    """
    try:
        if b"\x00" in body:  # never in JSON; without it UTF-16 is not mistaken for UTF-8
            raise UnicodeError
        body.decode()
    except UnicodeError:
        raise Refused("the body is not JSON in UTF-8", code="invalid_json") from None
    if is_deep(body):
        raise Refused(f"the body is nested more than {DEEPEST} deep")
    if b"\\u0000" not in body and b"\\ud" not in body and b"\\uD" not in body:
        return
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return  # the application says what is wrong with it
    for path, text in _texts(document):
        if "\x00" in text:
            raise Invalid.of(path, "U+0000 is not allowed")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise Invalid.of(path, "is not valid Unicode")


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """Every string of a document with the path of its place, names of fields included."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            prefix = f"{path}." if path else ""
            for name, item in value.items():
                yield path, name
                waiting.append((prefix + name, item))
        elif isinstance(value, list):
            prefix = f"{path}." if path else ""
            waiting.extend((f"{prefix}{index}", item) for index, item in enumerate(value))
