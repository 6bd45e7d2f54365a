"""Receives webhooks: answers 204 at once and notes when each came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"

Seen = Callable[[bytes, float], None]  # body, moment on the monotonic clock


class Receiver(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        size = int(head[head.find(LENGTH) + len(LENGTH) :].split(b"\r\n", 1)[0])
        body = self._buffer[end + len(HEAD_END) :]
        if len(body) < size:
            return
        self._buffer = b""
        self._seen(body, time.monotonic())
        self._transport.write(ANSWER)


@asynccontextmanager
async def sink(seen: Seen) -> AsyncIterator[str]:
    """Yields the URL to post to."""
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(seen), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/hook"
