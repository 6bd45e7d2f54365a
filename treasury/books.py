"""The lots of an installation as far as its ledger goes.

They are derived, not stored: a process folds the ledger once, and then what came since. Nothing
stands beside the ledger that could contradict it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from weakref import WeakKeyDictionary

import psycopg
import structlog

from core.context import Context
from core.db import Database
from core.networks import Catalog
from treasury import lot_events
from treasury.gains import Book
from treasury.lots import Method

log = structlog.get_logger()

BREATH = 100  # facts folded in a row: a few milliseconds


class Books:
    """One fold for each method, through the entry `seq`: a true state of the past at any moment."""

    def __init__(self) -> None:
        self.seq = 0
        self.by_method: Mapping[Method, Book] = {method: Book(method) for method in Method}
        self._alone = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def catch_up(self, database: Database, catalog: Catalog, through: int) -> None:
        async with self._alone:
            if through <= self.seq:
                return
            async for facts in lot_events.read(database, catalog, self.seq, through):
                for n, fact in enumerate(facts):
                    for book in self.by_method.values():
                        book.apply(fact)
                    if n % BREATH == 0:
                        await asyncio.sleep(0)  # whoever else is served here need not wait
                self.seq = min(self.seq + lot_events.PAGE, through)

    def catch_up_beside(self, database: Database, catalog: Catalog, through: int) -> None:
        """`catch_up` while the caller goes on."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._try(database, catalog, through))

    async def _try(self, database: Database, catalog: Catalog, through: int) -> None:
        try:
            await self.catch_up(database, catalog, through)
        except psycopg.Error as error:  # whoever asks next begins where it stopped
            log.warning("lots_not_read", error=type(error).__name__)


_known: WeakKeyDictionary[Database, Books] = WeakKeyDictionary()


async def current(context: Context) -> Books:
    """Through the last entry that has its number: waits until all is read."""
    books = _of(context.database)
    through = await lot_events.head(context.database)
    await books.catch_up(context.database, context.catalog, through)
    return books


async def near(context: Context) -> tuple[Books, bool]:
    """As `current` where little is new; else as far as it was read, False, and the rest is read
    beside: nobody waits for a long history to be folded (some seconds for 100,000 entries)."""
    books = _of(context.database)
    through = await lot_events.head(context.database)
    if through - books.seq > lot_events.PAGE:
        books.catch_up_beside(context.database, context.catalog, through)
        return books, False
    await books.catch_up(context.database, context.catalog, through)
    return books, True


def _of(database: Database) -> Books:
    books = _known.get(database)
    if books is None:
        books = _known[database] = Books()
    return books


async def as_of(context: Context, method: Method, through: int, until: datetime) -> Book:
    """The fold of what happened before `until`, through an entry of the past, made anew."""
    book = Book(method)
    async for facts in lot_events.read(context.database, context.catalog, 0, through):
        for fact in facts:
            if fact.at < until:
                book.apply(fact)
    return book
