"""One WebSocket connection to the Binance simulator: pings, the limit on incoming frames, the end
of the server, and switched faults of streams in the venue's dialect."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from sandbox.exchanges import binance_faults as faults
from sandbox.exchanges import endings
from sandbox.exchanges.binance_desk import Desk
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.faults import SILENT, Fault, Operation

PING_SECONDS = 20
PONG_SECONDS = 60
MESSAGES_A_SECOND = 5
_GOODBYE = 0.4  # seconds
_HANDSHAKE = {
    Fault.TIMEOUT_AFTER_EXECUTION: HTTPStatus.GATEWAY_TIMEOUT,
    Fault.TIMEOUT_BEFORE_EXECUTION: HTTPStatus.GATEWAY_TIMEOUT,
    Fault.SERVER_ERROR_AFTER_EXECUTION: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.SERVER_ERROR_BEFORE_EXECUTION: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.HTML_BODY: HTTPStatus.BAD_GATEWAY,
    Fault.UNAUTHORIZED_FLAP: HTTPStatus.UNAUTHORIZED,
}
_NOTHING = frozenset(
    {
        Fault.EXPIRED,
        Fault.NOT_FOUND_LAG,
        Fault.DUPLICATE_ORDER,
        Fault.SUCCESS_WITH_FAILURE_REASON,
    }
)
"""What a stream does not know."""


class Silenced(Exception):
    """A switched hang: nothing more is sent or read until the client gives up."""


def stream_fault(desk: Desk) -> Fault | None:
    """Streams leave the faults of `any` to requests: a quiet book would eat them."""
    box = desk.simulator.faults
    if not any(operation is Operation.STREAM for operation, _, _ in box.waiting):
        return None
    return box.take(Operation.STREAM)


async def refused_handshake(
    desk: Desk, request: web.Request, fault: Fault
) -> web.StreamResponse | None:
    """The answer that takes the place of the upgrade; None: the fault waits for the next event."""
    if fault is Fault.FORBIDDEN:
        return faults.firewall()
    if fault in (Fault.RATE_LIMITED, Fault.BANNED):
        problem = faults.before(fault)
        assert problem is not None  # noqa: S101  (both are such)
        return faults.refused(problem, {})
    if fault in SILENT:
        await endings.silence(request, desk.closing)
        return web.Response()
    status = _HANDSHAKE.get(fault)
    return None if status is None else faults.page(status)


class Session:
    """Subclasses read with `received` and send from `pump`."""

    def __init__(self, desk: Desk, request: web.Request, pending: Fault | None = None) -> None:
        self.desk = desk
        self._request = request
        # no compression, as at the venue; who is stopped does not hold up the server's end
        self._socket = web.WebSocketResponse(autoping=False, compress=False, timeout=_GOODBYE)
        self.pending = pending
        self._heard = time.monotonic()
        self._recent: deque[float] = deque(maxlen=MESSAGES_A_SECOND)
        self._last: str | None = None

    async def received(self, text: str) -> None:
        """One text frame of the client's."""
        raise NotImplementedError

    async def pump(self) -> None:
        """Sends news for as long as the connection lives."""
        raise NotImplementedError

    def shutdown_event(self) -> Any:
        """What is said before the server stops."""
        return {"event": {"e": "serverShutdown", "E": now_ms()}}

    async def run(self) -> web.StreamResponse:
        """Until either side ends it."""
        await self._socket.prepare(self._request)
        closing = asyncio.ensure_future(self.desk.closing.wait())
        tasks = [
            closing,
            *(asyncio.create_task(c) for c in (self._read(), self.pump(), self._ping())),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            if any(isinstance(one, Silenced) for one in ended):
                await endings.silence(self._request, self.desk.closing)
            if closing in done:
                await self.send(self.shutdown_event())
            await self._socket.close(code=WSCloseCode.GOING_AWAY)
        for one in ended:
            if isinstance(one, Exception) and not isinstance(one, Silenced | ConnectionError):
                raise one
        return self._socket

    async def send(self, content: Any) -> None:
        """An answer: no fault meets it."""
        await self._socket.send_str(msgspec.json.encode(content).decode())

    async def tell(self, contents: Sequence[Any]) -> None:
        """News, in order, unless a fault is switched. Raises Silenced, ConnectionError."""
        if not contents:
            return
        texts = [msgspec.json.encode(content).decode() for content in contents]
        fault, self.pending = self.pending or stream_fault(self.desk), None
        if fault is not None and fault not in _NOTHING:
            texts = await self._spoil(fault, texts)
        for text in texts:
            await self._socket.send_str(text)
            self._last = text

    async def _spoil(self, fault: Fault, texts: list[str]) -> list[str]:
        if fault is Fault.DUPLICATED_EVENTS:
            if len(texts) > 1:
                return [*reversed(texts), *texts]
            return [*texts, *([self._last] if self._last else []), *texts]
        if fault is Fault.TRUNCATED_BODY:
            return [text[: len(text) // 2] for text in texts]
        if fault in SILENT:
            raise Silenced
        if fault is Fault.RESET_AFTER_SEND:
            endings.reset(self._request)
        raise ConnectionResetError

    async def _read(self) -> None:
        async for message in self._socket:
            self._count()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._heard = time.monotonic()
            elif message.type is WSMsgType.TEXT:
                await self.received(str(message.data))

    def _count(self) -> None:
        """Raises ConnectionResetError for who sends more than the venue takes."""
        now = time.monotonic()
        if len(self._recent) == MESSAGES_A_SECOND and now - self._recent[0] < 1:
            raise ConnectionResetError
        self._recent.append(now)

    async def _ping(self) -> None:
        while time.monotonic() - self._heard < PING_SECONDS + PONG_SECONDS:
            await asyncio.sleep(PING_SECONDS)
            await self._socket.ping(str(now_ms()).encode())
