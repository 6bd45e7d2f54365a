"""Wakes a follower: on each new head that a node pushes, and on a clock beside it.

A push is only a hint to look; what is there is read from the endpoints. A rollback announces
nothing, and a dead subscription looks like a quiet chain: therefore the poll never stops.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chain.endpoints import Endpoints
from chain.rpc import host_of
from chain.types import Pushed
from core.networks import Network

log = structlog.get_logger(__name__)

SUBSCRIBE = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
)
CONNECT_SECONDS = 5
BACKOFF_SECONDS = 0.5
BACKOFF_LONGEST_SECONDS = 30
MESSAGE_MAX_BYTES = 1 << 20


class _News:
    """The newest announcement that nobody has taken yet."""

    def __init__(self) -> None:
        self._some = asyncio.Event()
        self._head: Pushed | None = None

    def tell(self, head: Pushed | None) -> None:
        self._head = head
        self._some.set()

    async def take(self, seconds: float) -> Pushed | None:
        with suppress(asyncio.TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for can swallow a cancellation
                await self._some.wait()
        self._some.clear()
        head, self._head = self._head, None
        return head


async def heads(network: Network, endpoints: Endpoints) -> AsyncGenerator[Pushed | None, None]:
    """Yields at once, then for every new head, at the latest every `poll_ms`. Never ends.

    Heads that come while the caller is at work are one wake, with the newest of them; None where
    the clock woke. Close the iterator (aclosing) to end the subscription.
    `endpoints.push_connected` says whether it stands.
    """
    news = _News()
    listener = None
    if network.push_url is not None:
        listener = asyncio.create_task(_listen(network, network.push_url, endpoints, news))
    try:
        yield None
        while True:
            yield await news.take(network.poll_ms / 1000)
    finally:
        if listener is not None:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
        endpoints.push_connected = False


async def _listen(network: Network, url: str, endpoints: Endpoints, news: _News) -> None:
    """Keeps one subscription up; tells `news` every head. Reconnects with growing waits."""
    where = host_of(url) if url.startswith(("ws://", "wss://")) else "ipc"
    wait = BACKOFF_SECONDS
    while True:
        try:
            async with aclosing(_messages(url)) as messages:
                async for message in messages:
                    if _subscribed(message):
                        endpoints.push_connected = True
                        wait = BACKOFF_SECONDS
                    news.tell(_pushed(message))
        except (OSError, EOFError, TimeoutError, ValueError, WebSocketException) as error:
            # the class only: the text may hold the URL
            log.warning("push_lost", network=network.id, endpoint=where, error=type(error).__name__)
        endpoints.push_connected = False
        await asyncio.sleep(wait)
        wait = min(wait * 2, BACKOFF_LONGEST_SECONDS)


def _subscribed(message: object) -> bool:
    """Whether it is the answer to our subscription. Raises ValueError if that is a refusal."""
    if not isinstance(message, dict) or message.get("id") != 1:
        return False
    if "result" not in message:
        raise ValueError("eth_subscribe refused")
    return True


def _pushed(message: object) -> Pushed | None:
    """The head that a message announces; None where it is not as we know it: only a hint."""
    try:
        head = message["params"]["result"]  # type: ignore[index]
        number, block_hash = str(head["number"]), str(head["hash"])
    except (KeyError, TypeError):
        return None
    return Pushed(number, block_hash, empty=head.get("gasUsed") == "0x0")


async def _messages(url: str) -> AsyncGenerator[object, None]:
    if url.startswith(("ws://", "wss://")):
        async with connect(
            url, open_timeout=CONNECT_SECONDS, close_timeout=1, max_size=MESSAGE_MAX_BYTES
        ) as socket:
            await socket.send(SUBSCRIBE)
            async for text in socket:
                yield json.loads(text)
        raise EOFError
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_unix_connection(url)
    try:
        writer.write(SUBSCRIBE.encode() + b"\n")
        await writer.drain()
        buffer = ""
        while chunk := await reader.read(1 << 16):
            buffer += chunk.decode("utf-8", "replace")
            if len(buffer) > MESSAGE_MAX_BYTES:
                raise ValueError("a message too large")
            complete, buffer = split_json(buffer)
            for message in complete:
                yield message
        raise EOFError
    finally:
        writer.close()


def split_json(buffer: str) -> tuple[list[object], str]:
    """Concatenated JSON values, with or without newlines between them -> values, rest.

    Sockets of nodes frame nothing; a value may come in pieces.
    """
    decoder = json.JSONDecoder()
    found: list[object] = []
    buffer = buffer.lstrip()
    while buffer:
        try:
            value, end = decoder.raw_decode(buffer)
        except json.JSONDecodeError:
            break
        found.append(value)
        buffer = buffer[end:].lstrip()
    return found, buffer
