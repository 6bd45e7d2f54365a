"""What stands before every call to Coinbase: limits, tokens, scopes, and the faults that are
switched on, in the order of the real one."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from aiohttp import web

from sandbox.exchanges import coinbase_answers as answers
from sandbox.exchanges import endings
from sandbox.exchanges.coinbase_tokens import BadToken, verify
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import SENDS, SILENT, Fault, Operation

API = "/api/v3/brokerage"
VIEW, TRADE, TRANSFER = "view", "trade", "transfer"
ALL_SCOPES = frozenset({VIEW, TRADE, TRANSFER})
SKEW_SECONDS = 600
PUBLIC_PER_SECOND = 10
_LATE_TIMEOUTS = frozenset({Fault.TIMEOUT_AFTER_EXECUTION, Fault.NOT_FOUND_LAG})
_ONLY_PLACE = frozenset({Fault.PARTIAL_FILL_THEN_SILENCE})
_ONLY_SENT = frozenset({Fault.NOT_FOUND_LAG})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered. `fault`: what its handler has to play, if anything."""

    request: web.Request
    body: dict[str, Any]
    fault: Fault | None

    def values(self, name: str) -> list[str]:
        """A query parameter that may come more than once."""
        return [value for value in self.request.query.getall(name, []) if value]

    def value(self, name: str) -> str | None:
        return self.request.query.get(name) or None

    def limit(self, default: int, most: int) -> int:
        """Raises Refused (400)."""
        text = self.value("limit")
        if text is None:
            return default
        if not text.isascii() or not text.isdigit():
            raise answers.invalid("limit is not a valid number")
        return max(1, min(int(text), most))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`scope` None: public."""

    method: str
    path: str
    operation: Operation
    scope: str | None
    answer: Callable[[Call], web.Response]


class Gate:
    """One per server. `closing` ends whatever hangs."""

    def __init__(self, simulator: Simulator, scopes: Collection[str], per_second: int) -> None:
        self.simulator = simulator
        self.scopes = frozenset(scopes)
        self.per_second = per_second
        self.closing = asyncio.Event()
        self._seen: dict[str, deque[float]] = {}
        self._turns: Counter[Fault] = Counter()

    def guard(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler of an endpoint, with all that comes before and after it."""

        async def handle(request: web.Request) -> web.Response:
            known = self._authenticate(request, endpoint)
            if isinstance(known, web.Response):
                return known
            limited = self._count(request, known)
            if limited is not None:
                return limited
            if endpoint.scope is not None and endpoint.scope not in self.scopes:
                return answers.missing_scopes(request.path)
            fault = self.simulator.faults.take(endpoint.operation)
            early = self._early(fault, request, endpoint)
            if early is not None:
                return early
            try:
                response = endpoint.answer(Call(request, await _body(request), fault))
            except answers.Refused as refused:
                response = refused.response
            self._rate_headers(response, known)
            return await self._late(fault, request, endpoint, response)

        return handle

    def odd_turn(self, fault: Fault) -> bool:
        """For faults that come in two kinds: true the first time, then by turns."""
        self._turns[fault] += 1
        return self._turns[fault] % 2 == 1

    def _authenticate(self, request: web.Request, endpoint: Endpoint) -> str | web.Response:
        """Who is counted: the key, or the address of a caller of public endpoints."""
        if endpoint.scope is None:
            return f"ip {request.remote}"
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        uri = f"{request.method} {request.host}{request.path}"
        try:
            if scheme != "Bearer":
                raise BadToken("none")
            return verify(token, self.simulator.credentials, uri=uri, now=time.time()).key
        except BadToken:
            return answers.unauthorized()

    def _count(self, request: web.Request, known: str) -> web.Response | None:
        seen = self._seen.setdefault(known, deque())
        now = time.monotonic()
        while seen and seen[0] <= now - 1:
            seen.popleft()
        if len(seen) >= self._most(known):
            return answers.too_many(request.path, html=False)
        seen.append(now)
        return None

    def _most(self, known: str) -> int:
        return PUBLIC_PER_SECOND if known.startswith("ip ") else self.per_second

    def _rate_headers(self, response: web.Response, known: str) -> None:
        most = self._most(known)
        response.headers["x-ratelimit-limit"] = str(most)
        response.headers["x-ratelimit-remaining"] = str(most - len(self._seen[known]))
        response.headers["x-ratelimit-reset"] = "1"

    def _early(
        self, fault: Fault | None, request: web.Request, endpoint: Endpoint
    ) -> web.Response | None:
        """Answers before which nothing was done."""
        match fault:
            case Fault.TIMEOUT_BEFORE_EXECUTION:
                return answers.gateway_timeout()
            case Fault.SERVER_ERROR_BEFORE_EXECUTION:
                return answers.server_error(request.path)
            case Fault.RATE_LIMITED:
                html = not self.odd_turn(Fault.RATE_LIMITED)
                return answers.too_many(request.path, html=html)
            case Fault.BANNED:
                return answers.banned()
            case Fault.FORBIDDEN:
                return answers.forbidden()
            case Fault.BAD_SIGNATURE:
                return answers.unauthorized()
            case Fault.UNAUTHORIZED_FLAP if self.odd_turn(Fault.UNAUTHORIZED_FLAP):
                return answers.unauthorized()
            case Fault.CLOCK_SKEW if endpoint.scope is not None:
                response = answers.unauthorized()
                response.headers["Date"] = formatdate(time.time() + SKEW_SECONDS, usegmt=True)
                return response
            case _:
                return None

    async def _late(
        self,
        fault: Fault | None,
        request: web.Request,
        endpoint: Endpoint,
        response: web.Response,
    ) -> web.Response:
        """What becomes of the answer of something that was done."""
        if fault in _ONLY_PLACE and endpoint.operation is not Operation.PLACE:
            return response
        if fault in _ONLY_SENT and endpoint.operation not in SENDS:
            return response
        if fault in _LATE_TIMEOUTS:
            return answers.gateway_timeout()
        if fault is Fault.SERVER_ERROR_AFTER_EXECUTION:
            return answers.server_error(request.path)
        if fault is Fault.HTML_BODY:
            return answers.page(200, "Just a moment...", "Checking your browser.")
        if fault is Fault.TRUNCATED_BODY:
            return endings.truncated(response)
        if fault in SILENT:
            await endings.silence(request, self.closing)
        if fault is Fault.RESET_AFTER_SEND:
            endings.reset(request)
        return response


async def _body(request: web.Request) -> dict[str, Any]:
    """Raises Refused (400)."""
    text = await request.text()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except ValueError:
        raise answers.invalid("invalid JSON") from None
    if not isinstance(body, dict):
        raise answers.invalid("invalid JSON")
    return body
