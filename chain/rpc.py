"""One endpoint of a network: JSON-RPC over HTTP, typed, in batches, with a limit on every wait."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from chain.wire import ANSWERED, TEXTS, Fault, Method, Reply
from core.errors import BlockUnknown, ChainError, EndpointFailed, RangeTooLarge, TimedOut
from core.metrics import RPC_ERRORS, RPC_SECONDS

T = TypeVar("T")

IN_FLIGHT = 8  # requests at a time to one endpoint

# First match wins; None matches any code. Providers agree on little: the code -32005 is Infura's
# and geth's "limit exceeded" but also a rate limit, -32602 is QuickNode's and Alchemy's "range too
# wide" but also a wrong parameter (then the smallest range fails too and the endpoint is blamed).
_RATE_LIMITED = (
    r"rate.?limit|too many requests|request count|requests per|compute units|throttl|quota|capacity"
)
_UNKNOWN_BLOCK = (
    r"header not found|header for hash not found|unknown (block|header)|block not found"
    r"|resource not found|missing trie node|out ?of ?range|state .*(unavailable|pruned)"
    r"|state is not available|state not (available|found)|historical state|pruned"
    r"|block .*not (available|found)"
)
_TOO_LARGE = (
    r"limit exceeded|exceeds? .*limit|query returned more than|range .*(too|exceed|limit)"
    r"|block range|too large|too wide|too big|response size|max(imum)? results|limited to"
    r"|too many (results|logs|blocks)|batch (size|limit)|query (timeout|timed out)"
)
_UNSUPPORTED = r"method .*(not found|not exist|not available|not supported|unsupported)"
_FAULTS = tuple(
    (codes, re.compile(pattern, re.IGNORECASE), error, kind)
    for codes, pattern, error, kind in (
        ({429}, "", EndpointFailed, "rate_limited"),
        (None, _RATE_LIMITED, EndpointFailed, "rate_limited"),
        (None, _UNKNOWN_BLOCK, BlockUnknown, "unknown_block"),
        ({-32005}, "", RangeTooLarge, "range_too_large"),
        (None, _TOO_LARGE, RangeTooLarge, "range_too_large"),
        ({-32601}, "", EndpointFailed, "unsupported"),
        (None, _UNSUPPORTED, EndpointFailed, "unsupported"),
        ({-32602}, "", RangeTooLarge, "range_too_large"),
    )
)


def classify(fault: Fault) -> tuple[type[ChainError], str]:
    """A node's error -> our type and a short word for it."""
    for codes, pattern, error, kind in _FAULTS:
        if (codes is None or fault.code in codes) and pattern.search(fault.message):
            return error, kind
    return EndpointFailed, "fault"


def host_of(url: str) -> str:
    """host[:port] of a URL. Its path, query and user may be keys, so they are never shown."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    return f"{host}:{parts.port}" if parts.port else host


class Rpc:
    """One node's HTTP endpoint. Knows no score; raises ChainError for every unusable answer."""

    def __init__(self, url: str, network: str, *, timeout: float = 10.0) -> None:
        self.name = host_of(url)
        self.network = network
        self.timeout = timeout  # seconds
        self._url = url
        self._next_id = 0
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: Method[T], *params: Any, timeout: float | None = None) -> T:
        """One call. Raises EndpointFailed (TimedOut, BlockUnknown) or RangeTooLarge."""
        [reply] = await self.replies(method, [params], timeout=timeout)
        return self.unwrap(method, reply)

    async def many(
        self, method: Method[T], calls: Sequence[Sequence[Any]], *, timeout: float | None = None
    ) -> list[T]:
        """The answers to calls of one method, in their order; the first refusal is raised."""
        replies = await self.replies(method, calls, timeout=timeout)
        return [self.unwrap(method, reply) for reply in replies]

    def unwrap(self, method: Method[T], reply: Reply[T]) -> T:
        if reply.error is not None:
            error, kind = classify(reply.error)
            raise self._failed(error, kind, f"{method.name}: {reply.error.message[:200]}")
        if reply.result is msgspec.UNSET:
            raise self._failed(EndpointFailed, "malformed", f"{method.name}: no result")
        return reply.result

    async def replies(
        self, method: Method[T], calls: Sequence[Sequence[Any]], *, timeout: float | None = None
    ) -> list[Reply[T]]:
        """As `many`, with each call's refusal left inside its reply.

        A single call is sent as an object: some providers know no batches.
        """
        if not calls:
            return []
        first = self._next_id
        self._next_id += len(calls)
        bodies = [
            {"jsonrpc": "2.0", "id": first + i, "method": method.name, "params": params}
            for i, params in enumerate(calls)
        ]
        alone = len(bodies) == 1
        body = msgspec.json.encode(bodies[0] if alone else bodies)
        status, answer = await self._post(body, self.timeout if timeout is None else timeout)
        try:
            if alone or answer[:64].lstrip()[:1] != b"[":
                one = decode_deep(method.one, answer)
                if one.error is None and (not alone or one.id != first):
                    raise self._failed(EndpointFailed, "malformed", f"{method.name}: not asked for")
                return [one] * len(calls)  # a refusal of the batch is one of each call
            replies = decode_deep(method.batch, answer)
        except msgspec.DecodeError as error:
            kind = "malformed" if status < 400 else "http"
            raise self._failed(EndpointFailed, kind, f"{method.name}: HTTP {status}") from error
        if len(replies) == 1 and replies[0].error is not None:
            return replies * len(calls)
        ordered: dict[Any, Reply[T]] = {reply.id: reply for reply in replies}
        try:
            return [ordered[first + i] for i in range(len(calls))]
        except KeyError:
            raise self._failed(
                EndpointFailed, "malformed", f"{method.name}: {len(replies)} of {len(calls)}"
            ) from None

    async def mixed(self, calls: Sequence[tuple[Method[Any], Sequence[Any]]]) -> list[Reply[Any]]:
        """One request for calls of several methods, in their order, refusals inside the replies.

        Empty where the endpoint does not answer one by one: some know no batches.
        """
        first = self._next_id
        self._next_id += len(calls)
        bodies = [
            {"jsonrpc": "2.0", "id": first + i, "method": method.name, "params": params}
            for i, (method, params) in enumerate(calls)
        ]
        status, answer = await self._post(msgspec.json.encode(bodies), self.timeout)
        if answer[:64].lstrip()[:1] != b"[":
            return []
        try:
            names, texts = ANSWERED.decode(answer), TEXTS.decode(answer)
            at = {name.id: text for name, text in zip(names, texts, strict=True)}
            return [decode_deep(m.one, at[first + i]) for i, (m, _) in enumerate(calls)]
        except KeyError:
            return []
        except msgspec.DecodeError as error:
            kind = "malformed" if status < 400 else "http"
            raise self._failed(EndpointFailed, kind, f"mixed calls: HTTP {status}") from error

    async def _post(self, body: bytes, timeout: float) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
                headers={"content-type": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        limit = aiohttp.ClientTimeout(total=timeout)
        started = time.perf_counter()
        try:
            async with self._session.post(self._url, data=body, timeout=limit) as response:
                status, answer = response.status, await response.read()
        except TimeoutError:
            raise self._failed(TimedOut, "timeout", f"no answer in {timeout:g} s") from None
        except aiohttp.ClientError as error:
            # from None: aiohttp's texts may hold the URL, and that its key
            raise self._failed(EndpointFailed, "transport", type(error).__name__) from None
        RPC_SECONDS.labels(self.network, self.name).observe(time.perf_counter() - started)
        if status == 429:
            raise self._failed(EndpointFailed, "rate_limited", "HTTP 429")
        if status == 413:
            raise self._failed(RangeTooLarge, "range_too_large", "HTTP 413")
        if status >= 500 or status in (401, 403, 404):
            raise self._failed(EndpointFailed, "http", f"HTTP {status}")
        return status, answer

    def _failed(self, error: type[ChainError], kind: str, text: str) -> ChainError:
        RPC_ERRORS.labels(self.network, self.name, kind).inc()
        return error(f"{self.network} {self.name}: {text}")


def decode_deep(decoder: msgspec.json.Decoder[T], answer: bytes | msgspec.Raw) -> T:
    """Decodes, also a trace nested as deep as the EVM allows (1,024 calls).

    CPython counts two levels of recursion for each nested call, so a payer could otherwise stop
    the cursor with one deep transaction.
    """
    try:
        return decoder.decode(answer)
    except RecursionError:
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(max(usual, 8_000))
        try:
            return decoder.decode(answer)
        finally:
            sys.setrecursionlimit(usual)
