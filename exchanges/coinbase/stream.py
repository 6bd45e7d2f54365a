"""Coinbase's WebSocket stream. A connection of our own, with a verifying TLS context: the SDK's
`WSClient` verifies no certificate. The SDK makes the tokens.

Every message of a connection carries one number more than the one before (docs.cdp.coinbase.com,
WebSocket overview, Sequence Numbers): a jump says that something was lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from core.clock import wall
from core.errors import VenueUnavailable
from exchanges.coinbase import reading
from exchanges.coinbase.answers import short
from exchanges.coinbase.depth import Depth
from exchanges.numbers import read_json
from exchanges.types import AccountUpdate, BookUpdate

SILENCE_SECONDS = 5.0
_LARGEST_MESSAGE = 32 * 2**20
# At DEBUG the library would write our tokens down.
_quiet = logging.getLogger("exchanges.coinbase.stream.wire")
_quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Message:
    """What a connection says. `gap`: messages before this one were lost. `at`: the venue's time."""

    channel: str
    events: list[Mapping[str, Any]]
    at: datetime
    gap: bool


class Feed:
    """One connection."""

    def __init__(self, socket: ClientConnection, token: Callable[[], str], silence: float) -> None:
        self._socket = socket
        self._token = token
        self._silence = silence
        self._expected: int | None = None

    async def ask(self, kind: str, channel: str, products: Collection[str] = ()) -> None:
        """`kind`: subscribe or unsubscribe. Each asks with a token of its own: they last two
        minutes."""
        message: dict[str, Any] = {"type": kind, "channel": channel, "jwt": self._token()}
        if products:
            message["product_ids"] = list(products)
        await self._socket.send(json.dumps(message))

    async def messages(self) -> AsyncIterator[Message]:
        """Until something is wrong: VenueUnavailable. Repeated messages are left out."""
        while True:
            async with asyncio.timeout(self._silence):
                text = await self._socket.recv()
            try:
                content = read_json(text)
            except ValueError:
                raise VenueUnavailable("Coinbase's stream says what is no JSON") from None
            if not isinstance(content, dict) or content.get("type") == "error":
                told = content.get("message") if isinstance(content, dict) else content
                raise VenueUnavailable(f"Coinbase's stream: {short(told)}")
            number = content.get("sequence_num")
            if type(number) is not int:
                raise VenueUnavailable("Coinbase's stream does not number its messages")
            expected = number if self._expected is None else self._expected
            if number < expected:
                continue
            self._expected = number + 1
            yield Message(
                channel=reading.text(content, "channel"),
                events=reading.listed(content, "events"),
                at=reading.moment(content, "timestamp"),
                gap=number > expected,
            )


class Streams:
    """Opens connections. `token` makes a fresh JWT; heartbeats come each second, so `silence` of
    so many seconds is the end of one."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext,
        token: Callable[[], str],
        timeout: float,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._url = url
        self._context = context
        self._token = token
        self._timeout = timeout
        self._silence = silence

    async def books(self, symbols: Collection[str]) -> AsyncGenerator[BookUpdate, None]:
        depths = {symbol: Depth(symbol) for symbol in symbols}
        async with self._open() as feed:
            await feed.ask("subscribe", "heartbeats")
            if depths:
                await feed.ask("subscribe", "level2", depths)
            async for message in feed.messages():
                at = wall()
                if message.gap:
                    for symbol, depth in depths.items():
                        depth.forget()
                        yield BookUpdate(symbol=symbol, book=None, at=at)
                    if depths:
                        await feed.ask("unsubscribe", "level2", depths)
                        await feed.ask("subscribe", "level2", depths)
                if message.channel == "heartbeats":
                    yield BookUpdate(symbol=None, book=None, at=at)
                elif message.channel == "l2_data":
                    for event in message.events:
                        depth = depths[reading.text(event, "product_id")]
                        book = depth.take(event, message.at, at)
                        if book is not None:
                            yield BookUpdate(symbol=depth.symbol, book=book, at=at)

    async def account(self) -> AsyncGenerator[AccountUpdate, None]:
        async with self._open() as feed:
            await feed.ask("subscribe", "heartbeats")
            await feed.ask("subscribe", "user")
            async for message in feed.messages():
                at = wall()
                # Something was lost, or the connection is new: look at everything.
                if message.gap or (message.channel == "user" and _is_snapshot(message)):
                    yield AccountUpdate(client_id=None, at=at)
                if message.channel != "user":
                    continue
                for event in message.events:
                    for order in event.get("orders") or ():
                        client_id = reading.words(order, "client_order_id")
                        yield AccountUpdate(client_id=client_id or None, at=at)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Feed]:
        """A connection; whatever ends it is VenueUnavailable."""
        try:
            async with connect(
                self._url,
                ssl=self._context,
                open_timeout=self._timeout,
                close_timeout=1,
                max_size=_LARGEST_MESSAGE,
                logger=_quiet,
            ) as socket:
                yield Feed(socket, self._token, self._silence)
        except TimeoutError:
            raise VenueUnavailable("Coinbase's stream is silent") from None
        except (WebSocketException, OSError, KeyError) as error:
            raise VenueUnavailable(f"Coinbase's stream broke ({type(error).__name__})") from None


def _is_snapshot(message: Message) -> bool:
    return any(event.get("type") == "snapshot" for event in message.events)
