"""Binance's two streams, on our own WebSocket connections.

Not the SDK's socket manager: it reconnects by itself, so a gap passes unseen and the account's
subscription is silently lost with the old connection; a full queue or one error message ends its
reader while `recv` goes on waiting; and it has no sign of life for a market where nothing moves.
Here a connection that ends, ends: whoever listens begins again with a snapshot. The heartbeat is
the venue's pong to our ping, two a second (it allows five messages a second).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from core.clock import wall
from core.errors import VenueUnavailable
from exchanges.binance.client import Client
from exchanges.binance.depth import SNAPSHOT, Depth, Gap
from exchanges.binance.errors import reading
from exchanges.binance.markets import native
from exchanges.numbers import read_json
from exchanges.types import AccountUpdate, BookUpdate

_BEAT = 0.5
_SILENCE = 5.0
"""Seconds without a pong after which a connection counts as dead."""
_TRIES = 5
"""Snapshots in a row that did not fit their changes."""
_DEPTH = 500
_LARGEST = 2**22
# websockets logs whole frames at DEBUG, and one of ours carries the API key
_quiet = logging.getLogger("exchanges.binance.frames")
_quiet.setLevel(logging.WARNING)

Snapshot = asyncio.Task[Mapping[str, Any]]


@asynccontextmanager
async def _connection(client: Client, url: str) -> AsyncIterator[ClientConnection]:
    """Whatever goes wrong with it is VenueUnavailable."""
    client.limits.take({}, urgent=False)
    try:
        async with connect(
            url,
            open_timeout=client.timeout_seconds,
            close_timeout=1,
            ping_interval=None,
            max_size=_LARGEST,
            logger=_quiet,
        ) as connection:
            yield connection
        return
    except InvalidStatus as error:
        if error.response.status_code in (403, 418, 429):
            client.limits.back_off(None)
        problem = f"binance: the stream answers HTTP {error.response.status_code}"
    except (OSError, WebSocketException) as error:
        problem = f"binance: the stream ended: {type(error).__name__}"
    raise VenueUnavailable(problem) from None


async def _listen(
    connection: ClientConnection, tasks: Collection[Snapshot] = (), silence: float = _SILENCE
) -> AsyncIterator[str | bytes | Snapshot | None]:
    """Its messages as they come, `tasks` (a set that may change) as they end, and None when a ping
    was answered and nothing else waits: who reads too slowly has no heartbeat. Raises
    VenueUnavailable after `silence` seconds without a pong."""
    loop = asyncio.get_running_loop()
    message = asyncio.ensure_future(connection.recv())
    pong: asyncio.Future[float] | None = None
    pinged = loop.time() - _BEAT
    try:
        while True:
            now = loop.time()
            if pong is None and now - pinged >= _BEAT:
                pinged, pong = now, asyncio.ensure_future(await connection.ping())
            if pong is not None and not pong.done() and now - pinged > silence:
                raise VenueUnavailable(f"binance: no pong in {silence} s")
            beats: set[asyncio.Future[Any]] = {pong} if pong is not None else set()
            done, _ = await asyncio.wait(
                {message, *beats, *tasks}, timeout=_BEAT, return_when=asyncio.FIRST_COMPLETED
            )
            for task in [task for task in tasks if task in done]:
                yield task
            if message in done:
                yield message.result()
                message = asyncio.ensure_future(connection.recv())
            elif pong is not None and pong in done:
                pong.result()
                pong = None
                yield None
    finally:
        _drop(message)
        if pong is not None:
            _ignore(pong)  # the library's own: it could not answer a pong to a cancelled one


def _ignore(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more, whatever it ends with."""
    future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def _drop(future: asyncio.Future[Any]) -> None:
    _ignore(future)
    future.cancel()


@dataclass
class _Market:
    """`now`: the book that is trusted. `next`: one that waits for its snapshot."""

    symbol: str
    now: Depth | None = None
    next: Depth | None = None
    tries: int = 0


@dataclass
class _Books:
    """The books of one connection. `tasks`: the snapshots under way, with whose they are."""

    client: Client
    markets: dict[str, _Market]
    tasks: dict[Snapshot, _Market] = field(default_factory=dict)

    def renew(self, market: _Market) -> None:
        """Asks for a snapshot; changes are held for it from now on. Raises VenueUnavailable."""
        market.tries += 1
        if market.tries > _TRIES:
            raise VenueUnavailable(f"binance: no snapshot of {market.symbol} fits its changes")
        market.next = Depth(market.symbol)
        asking = self.client.get_order_book(symbol=native(market.symbol), limit=SNAPSHOT)
        self.tasks[asyncio.ensure_future(asking)] = market

    def arrived(self, task: Snapshot) -> Iterable[BookUpdate]:
        market = self.tasks.pop(task)
        waiting, market.next = market.next, None
        if waiting is None:
            return
        try:
            with reading("a snapshot"):
                waiting.begin(task.result())
        except Gap:
            self.renew(market)
            return
        market.now, market.tries = waiting, 0
        yield self._news(market.symbol, waiting)

    def changed(self, event: Mapping[str, Any]) -> Iterable[BookUpdate]:
        market = self.markets[event["s"]]
        if market.next is not None:
            market.next.apply(event)
        if market.now is None:
            return
        try:
            if market.now.apply(event):
                yield self._news(market.symbol, market.now)
        except Gap:
            market.now = None
            yield self._news(market.symbol, None)
        if market.next is None and (market.now is None or market.now.wears_thin):
            self.renew(market)

    @staticmethod
    def _news(symbol: str, depth: Depth | None) -> BookUpdate:
        at = wall()
        return BookUpdate(symbol=symbol, book=depth.book(_DEPTH, at) if depth else None, at=at)


async def books(
    client: Client, stream_url: str, symbols: Collection[str]
) -> AsyncIterator[BookUpdate]:
    """`Exchange.books`."""
    names = "/".join(f"{native(symbol).lower()}@depth@100ms" for symbol in symbols)
    state = _Books(client, {native(symbol): _Market(symbol) for symbol in symbols})
    url = f"{stream_url.rstrip('/')}/stream?streams={names}"
    async with _connection(client, url) as connection:
        try:
            for market in state.markets.values():
                state.renew(market)
            async for news in _listen(connection, state.tasks.keys()):
                if news is None:
                    yield BookUpdate(symbol=None, book=None, at=wall())
                elif isinstance(news, asyncio.Task):
                    for update in state.arrived(news):
                        yield update
                else:
                    for update in _public(state, news):
                        yield update
        finally:
            for task in state.tasks:
                _drop(task)


def _public(state: _Books, text: str | bytes) -> list[BookUpdate]:
    with reading("a stream's event"):
        event = read_json(str(text))["data"]
        if event["e"] == "depthUpdate":
            return list(state.changed(event))
    # serverShutdown, and whatever else is not asked for
    raise VenueUnavailable(f"binance: the stream says {str(event['e'])[:40]}")


async def account(client: Client, ws_api_url: str) -> AsyncIterator[AccountUpdate]:
    """`Exchange.account`, by `userDataStream.subscribe.signature`."""
    await client.keep_time()
    async with _connection(client, ws_api_url) as connection:
        await connection.send(_subscription(client))
        async for news in _listen(connection):
            if isinstance(news, str | bytes):
                update = _private(client, news)
                if update is not None:
                    yield update


def _subscription(client: Client) -> str:
    """It carries the API key: nobody keeps it in a variable that a traceback could show."""
    return json.dumps(
        {
            "id": "account",
            "method": "userDataStream.subscribe.signature",
            "params": client.sign_subscription(),
        }
    )


def _private(client: Client, text: str | bytes) -> AccountUpdate | None:
    with reading("an account's event"):
        said = read_json(str(text))
        if "event" not in said:
            if said["status"] == 200:
                return None
            code = said["error"]["code"]
            kind = f"error {code}"
            if code == -1021:
                client.clock.forget()
        else:
            event = said["event"]
            kind = str(event["e"])
            if kind == "executionReport":
                # of a cancelled order `C` is its own id, `c` that of the cancelling
                return AccountUpdate(client_id=event.get("C") or event["c"], at=wall())
            if kind in ("outboundAccountPosition", "balanceUpdate", "externalLockUpdate"):
                return AccountUpdate(client_id=None, at=wall())
            if kind == "listStatus":
                return None
    raise VenueUnavailable(f"binance: the account's stream says {kind[:40]}")
