"""One POST, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic_ns

import aiohttp

from core.clock import wall
from core.errors import Invalid
from core.http_headers import retry_after
from webhooks.urls import check

EXCERPT = 1_000  # characters of the response that are kept
_EXCERPT_BYTES = 4 * EXCERPT
_BODY_SECONDS = 2  # an answer's body is a courtesy: its status is what counts


@dataclass(frozen=True, slots=True)
class Attempt:
    """`status_code` None: no answer, `error` says why. `retry_after` in seconds."""

    at: datetime  # wall time
    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    response: str | None = None
    retry_after: int | None = None


async def post(
    client: aiohttp.ClientSession, url: str, body: str, headers: Mapping[str, str], *, sandbox: bool
) -> Attempt:
    """Never raises for what the other side does; the client carries timeout and address guard."""
    at, start = wall(), monotonic_ns()
    try:
        check(url, sandbox)
        async with client.post(
            url,
            data=body.encode(),
            headers={
                **headers,
                "content-type": "application/json",
                "accept-encoding": "identity",
                "user-agent": "Bezant-Webhooks/1",
            },
            allow_redirects=False,
        ) as response:
            return Attempt(
                at,
                _milliseconds(start),
                response.status,
                response=await _excerpt(response),
                retry_after=retry_after(response.headers.get("retry-after"), wall()),
            )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, Invalid) as error:
        return Attempt(at, _milliseconds(start), error=_sentence(error))


def _milliseconds(start: int) -> int:
    return (monotonic_ns() - start) // 1_000_000


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}".replace("\0", "")[:EXCERPT]


async def _excerpt(response: aiohttp.ClientResponse) -> str | None:
    read = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while len(read) < _EXCERPT_BYTES:
                chunk = await response.content.read(_EXCERPT_BYTES - len(read))
                if not chunk:
                    break
                read += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    return read.decode(errors="replace").replace("\0", "�")[:EXCERPT] or None
