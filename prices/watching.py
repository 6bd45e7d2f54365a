"""The loop that follows one venue's books (VENUES 1): what the stream says is stored, at most four
times a second and only when it changed, and its heartbeat about once a second.

Nothing stored is trusted until the venue has sent it anew: not after a gap, not after the stream
ended, not when this loop begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import datetime
from typing import cast

import structlog

from core.clock import wall
from core.context import Context
from core.errors import VenueError, VenueUnavailable
from core.metrics import VENUE_STREAM_LOSSES
from core.singleton import Held, Lost, hold
from core.work import DATABASE_AWAY
from exchanges.protocol import Exchange
from exchanges.types import Book, BookUpdate, Level
from prices import books, markets
from prices.books import DEPTH, StoredBook

log = structlog.get_logger(__name__)

WRITE_SECONDS = 0.25  # between two writes of a book
# Between two writes of the heartbeat, which the venue sends each second: a little less, so that one
# that came early does not wait for the next.
HEARTBEAT_SECONDS = 0.9
SILENCE_SECONDS = 10  # a stream that says nothing, not even that it lives, is begun anew
IDLE_SECONDS = 5  # the longest wait for news between two looks at our own lock
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class _News:
    """What the stream said and is not stored yet."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.gaps: set[str] = set()
        self.heard_at: datetime | None = None
        self.came = asyncio.Event()

    def add(self, update: BookUpdate) -> None:
        self.heard_at = wall()
        if update.symbol is not None and update.book is None:
            self.gaps.add(update.symbol)
            self.books.pop(update.symbol, None)
        elif update.symbol is not None and update.book is not None:
            self.gaps.discard(update.symbol)
            self.books[update.symbol] = update.book
        self.came.set()

    def take(self) -> tuple[dict[str, Book], set[str]]:
        self.came.clear()
        found, self.books, gaps, self.gaps = self.books, {}, self.gaps, set()
        return found, gaps


class Watcher:
    """One venue's books; `run` holds a lock, so that they are stored once in an installation."""

    def __init__(self, context: Context, exchange: Exchange) -> None:
        self._context = context
        self._exchange = exchange
        self._venue = exchange.venue.value
        # What is stored by us; not to be believed when another one had the lock since.
        self._stored: dict[str, tuple[tuple[Level, ...], tuple[Level, ...]]] = {}
        self._beat_at: float | None = None

    async def run(self, first_pause: float = FIRST_PAUSE_SECONDS) -> None:
        """Follows the venue until cancelled; begins anew when its stream ends, later and later."""
        pause = first_pause
        while True:
            try:
                async with hold(self._context.database, f"books:{self._venue}") as held:
                    await self._begin("beginning")
                    while True:
                        try:
                            await self._follow(held)
                        except VenueError as error:
                            pause = first_pause if self._stored else pause
                            VENUE_STREAM_LOSSES.labels(self._venue).inc()
                            log.warning("venue_stream_lost", venue=self._venue, problem=str(error))
                            await self._begin(str(error))
                            await asyncio.sleep(pause_after(error, pause))
                            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            except (Lost, *DATABASE_AWAY) as error:
                log.warning("venue_interrupted", venue=self._venue, error=type(error).__name__)
                await asyncio.sleep(1)

    async def _begin(self, problem: str) -> None:
        self._stored.clear()
        self._beat_at = None
        async with self._context.database.statement() as connection:
            await books.lost(connection, self._venue, problem)
            await books.distrust(connection, self._venue)

    async def _follow(self, held: Held) -> None:
        """Returns never. Raises VenueError when the stream ends, Lost, DATABASE_AWAY."""
        found = markets.known(self._context.catalog, await self._exchange.markets())
        async with self._context.database.statement() as connection:
            await markets.store(connection, self._venue, found, wall())
        if not found:
            raise VenueUnavailable(f"{self._venue} lists no market between known assets")
        news = _News()
        listening = asyncio.create_task(self._listen(sorted(found), news))
        listening.add_done_callback(lambda _: news.came.set())
        try:
            while not listening.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await news.came.wait()
                await self._write(news)
                await held.check()
                await asyncio.sleep(WRITE_SECONDS)
            await listening  # raises why the stream ended
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, VenueError):
                await listening

    async def _listen(self, symbols: list[str], news: _News) -> None:
        stream = cast("AsyncGenerator[BookUpdate, None]", self._exchange.books(symbols))
        async with aclosing(stream):
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        news.add(await anext(stream))
                except TimeoutError:
                    raise VenueUnavailable(f"nothing heard in {SILENCE_SECONDS} s") from None
                except StopAsyncIteration:
                    raise VenueUnavailable("the stream ended") from None

    async def _write(self, news: _News) -> None:
        """One statement for gaps and one for books, where there are some, and the heartbeat."""
        found, gaps = news.take()
        changed = [book for book in found.values() if self._stored.get(book.symbol) != _ends(book)]
        now = asyncio.get_running_loop().time()
        due = self._beat_at is None or now - self._beat_at >= HEARTBEAT_SECONDS
        if not (changed or gaps or (due and news.heard_at)):
            return
        async with self._context.database.statement() as connection:
            if gaps:
                for symbol in gaps:
                    self._stored.pop(symbol, None)
                await books.distrust(connection, self._venue, gaps)
                log.warning("venue_book_gap", venue=self._venue, symbols=sorted(gaps))
            if changed:
                rows = [_row(self._venue, book) for book in changed]
                await books.store(connection, self._venue, rows)
                self._stored |= {book.symbol: _ends(book) for book in changed}
            if due and news.heard_at is not None:
                await books.heard(connection, self._venue, news.heard_at)
                self._beat_at = now


def _ends(book: Book) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    return book.bids[:DEPTH], book.asks[:DEPTH]


def _row(venue: str, book: Book) -> StoredBook:
    bids, asks = _ends(book)
    return StoredBook(
        venue=venue,
        symbol=book.symbol,
        raw_bids=[[str(level.price), str(level.quantity)] for level in bids],
        raw_asks=[[str(level.price), str(level.quantity)] for level in asks],
        sequence=book.sequence,
        at=book.at,
        alive_at=None,
        trusted=True,
    )


def pause_after(error: Exception, usual: float) -> float:
    """As long as the venue asked for, where it did."""
    asked = error.retry_after if isinstance(error, VenueUnavailable) else None
    return max(usual, asked) if asked is not None else usual
