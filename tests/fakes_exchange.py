"""A venue in this process: it says what a test puts into it, and matches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from core.clock import wall
from core.errors import VenueUnavailable
from exchanges.types import AccountUpdate, Balance, Book, BookUpdate, Market, Venue

T = TypeVar("T")


@dataclass
class FakeExchange:
    """The part of `Exchange` that is read. `say` and `tell` feed the streams; an exception ends
    one. `down`: everything else refuses."""

    venue: Venue = Venue.BINANCE
    listed: dict[str, Market] = field(default_factory=dict)
    held: dict[str, Balance] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    _public: asyncio.Queue[BookUpdate | Exception] = field(default_factory=asyncio.Queue)
    _private: asyncio.Queue[AccountUpdate | Exception] = field(default_factory=asyncio.Queue)

    def say(self, news: Book | str | Exception | None) -> None:
        """A book, a gap in the book of a symbol, the stream's end, or (None) a heartbeat."""
        if isinstance(news, Exception):
            self._public.put_nowait(news)
            return
        symbol = news.symbol if isinstance(news, Book) else news
        shown = news if isinstance(news, Book) else None
        self._public.put_nowait(BookUpdate(symbol=symbol, book=shown, at=wall()))

    def tell(self, news: str | AccountUpdate | Exception | None) -> None:
        """News of an order of ours, by its id, of a balance (None), or the stream's end."""
        if not isinstance(news, AccountUpdate | Exception):
            news = AccountUpdate(client_id=news, at=wall())
        self._private.put_nowait(news)

    async def markets(self) -> Mapping[str, Market]:
        return self._answer("markets", self.listed)

    async def balances(self) -> Mapping[str, Balance]:
        return self._answer("balances", self.held)

    async def books(self, symbols: Collection[str]) -> AsyncIterator[BookUpdate]:
        self._answer(f"books {' '.join(symbols)}", None)
        while True:
            if isinstance(news := await self._public.get(), Exception):
                raise news
            yield news

    async def account(self) -> AsyncIterator[AccountUpdate]:
        self._answer("account", None)
        while True:
            if isinstance(news := await self._private.get(), Exception):
                raise news
            yield news

    def _answer(self, what: str, answer: T) -> T:
        self.asked.append(what)
        if self.down:
            raise VenueUnavailable(f"{self.venue} is switched off")
        return answer
