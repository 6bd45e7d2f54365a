"""The lots of an installation as far as its ledger goes.

They are derived, not stored: each process folds the ledger once and then what came since. A fold
is kept per database, beside nothing that could contradict the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from weakref import WeakKeyDictionary

from core.context import Context
from core.db import Database
from core.networks import Catalog
from treasury import lot_events
from treasury.gains import Book
from treasury.lots import Method


class Books:
    """One fold for each method, through the entry `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.by_method: Mapping[Method, Book] = {method: Book(method) for method in Method}
        self._alone = asyncio.Lock()

    async def catch_up(self, database: Database, catalog: Catalog, through: int) -> None:
        async with self._alone:
            if through <= self.seq:
                return
            start = self.seq
            async for facts in lot_events.read(database, catalog, start, through):
                for fact in facts:
                    for book in self.by_method.values():
                        book.apply(fact)
                self.seq = min(self.seq + lot_events.PAGE, through)


_known: WeakKeyDictionary[Database, Books] = WeakKeyDictionary()


async def current(context: Context) -> Books:
    """Through the last entry that has its number. Folding two methods took 0.9 s for each 100,000
    entries when measured; afterwards only what is new is read."""
    books = _known.get(context.database)
    if books is None:
        books = _known[context.database] = Books()
    through = await lot_events.head(context.database)
    await books.catch_up(context.database, context.catalog, through)
    return books


async def as_of(context: Context, method: Method, through: int, until: datetime) -> Book:
    """The fold of what happened before `until`, through an entry of the past, made anew."""
    book = Book(method)
    async for facts in lot_events.read(context.database, context.catalog, 0, through):
        for fact in facts:
            if fact.at < until:
                book.apply(fact)
    return book
