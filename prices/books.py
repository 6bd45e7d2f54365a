"""The venues' books as the worker stored them, and whether they may be used (VENUES 1).

Fresh means that the venue's stream was heard within HEARD_SECONDS and the book has no gap: a quiet
market's book may be old and right. All times here are wall time, never the test clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from core.db import Raw
from exchanges.types import Level, Side

HEARD_SECONDS = 2
DEPTH = 500  # levels kept a side

Refusal = Literal["stale", "gap", "thin", "crossed"]

_LOAD = """
select b.venue, b.symbol, b.bids, b.asks, b.sequence, b.at, s.alive_at, b.trusted and s.trusted
  from venue_books b join venue_streams s using (venue)
 where %(symbols)s::text[] is null or b.symbol = any(%(symbols)s)
"""
_STORE = """
insert into venue_books (venue, symbol, bids, asks, best_bid, best_ask, sequence, trusted, at)
select %(venue)s, n.symbol, n.bids::jsonb, n.asks::jsonb, n.bid, n.ask, n.sequence, true, n.at
  from unnest(%(symbol)s::text[], %(bids)s::text[], %(asks)s::text[], %(bid)s::numeric[],
              %(ask)s::numeric[], %(sequence)s::bigint[], %(at)s::timestamptz[])
    as n(symbol, bids, asks, bid, ask, sequence, at)
    on conflict (venue, symbol) do update
   set bids = excluded.bids, asks = excluded.asks, best_bid = excluded.best_bid,
       best_ask = excluded.best_ask, sequence = excluded.sequence, trusted = true,
       at = excluded.at
"""
_DISTRUST = """
update venue_books set trusted = false
 where venue = %s and trusted and (%s::text[] is null or symbol = any(%s))
"""
_HEARD = """
insert into venue_streams (venue, alive_at, trusted, problem) values (%s, %s, true, null)
    on conflict (venue) do update set alive_at = excluded.alive_at, trusted = true, problem = null
"""
_LOST = """
insert into venue_streams (venue, alive_at, trusted, problem) values (%s, null, false, %s)
    on conflict (venue) do update set trusted = false, problem = excluded.problem
"""


@dataclass(frozen=True)
class StoredBook:
    """A symbol's book at a venue; its levels are read when they are asked for."""

    venue: str
    symbol: str
    raw_bids: list[list[str]]
    raw_asks: list[list[str]]
    sequence: int
    at: datetime
    alive_at: datetime | None
    trusted: bool

    @cached_property
    def bids(self) -> tuple[Level, ...]:
        """From the highest."""
        return _levels(self.raw_bids)

    @cached_property
    def asks(self) -> tuple[Level, ...]:
        """From the lowest."""
        return _levels(self.raw_asks)

    def against(self, side: Side) -> list[tuple[int, int]]:
        """What an order of this side meets, as (price, quantity), from the best."""
        raw = self.raw_asks if side is Side.BUY else self.raw_bids
        return [(int(price), int(quantity)) for price, quantity in raw]

    @property
    def best_bid(self) -> int:
        return int(self.raw_bids[0][0])

    @property
    def best_ask(self) -> int:
        return int(self.raw_asks[0][0])

    @property
    def mid(self) -> int:
        """Between the best two, rounded down. Only of a book that is not refused."""
        return (self.best_bid + self.best_ask) // 2

    def refusal(self, now: datetime) -> Refusal | None:
        """Why it may not be used at `now` (wall time), or None."""
        empty = not (self.raw_bids and self.raw_asks)
        bid, ask = (None, None) if empty else (self.best_bid, self.best_ask)
        return refusal(self.alive_at, self.trusted, bid, ask, now)


def refusal(
    alive_at: datetime | None,
    trusted: bool,
    best_bid: int | None,
    best_ask: int | None,
    now: datetime,
) -> Refusal | None:
    """What `StoredBook.refusal` says, from the ends of a book alone."""
    # From the future as well: after our clock was set back nothing says how old it is.
    if alive_at is None or abs(now - alive_at) > timedelta(seconds=HEARD_SECONDS):
        return "stale"
    if not trusted:
        return "gap"
    if best_bid is None or best_ask is None:
        return "thin"
    return "crossed" if best_bid >= best_ask else None


async def load(
    connection: Raw, symbols: Collection[str] | None = None
) -> dict[tuple[str, str], StoredBook]:
    """By (venue, symbol): these symbols', or all. One SELECT."""
    wanted = None if symbols is None else list(symbols)
    cursor = await connection.execute(_LOAD, {"symbols": wanted})
    return {(row[0], row[1]): StoredBook(*row) for row in await cursor.fetchall()}


async def store(connection: Raw, venue: str, books: Iterable[StoredBook]) -> None:
    """Puts these books in place of what was there, trusted."""
    rows = list(books)
    await connection.execute(
        _STORE,
        {
            "venue": venue,
            "symbol": [b.symbol for b in rows],
            "bids": [_json(b.raw_bids) for b in rows],
            "asks": [_json(b.raw_asks) for b in rows],
            "bid": [b.best_bid if b.raw_bids else None for b in rows],
            "ask": [b.best_ask if b.raw_asks else None for b in rows],
            "sequence": [b.sequence for b in rows],
            "at": [b.at for b in rows],
        },
    )


async def distrust(connection: Raw, venue: str, symbols: Collection[str] | None = None) -> None:
    """These books, or all of the venue's, count for nothing until they are stored again."""
    wanted = None if symbols is None else list(symbols)
    await connection.execute(_DISTRUST, (venue, wanted, wanted))


async def heard(connection: Raw, venue: str, at: datetime) -> None:
    """The venue's stream lives: something of it came at `at` (wall time)."""
    await connection.execute(_HEARD, (venue, at))


async def lost(connection: Raw, venue: str, problem: str) -> None:
    """The venue's stream ended, for this reason in plain words."""
    await connection.execute(_LOST, (venue, problem))


def _levels(raw: list[list[str]]) -> tuple[Level, ...]:
    return tuple([Level(int(price), int(quantity)) for price, quantity in raw])


def _json(levels: list[list[str]]) -> str:
    return "[" + ",".join([f'["{price}","{quantity}"]' for price, quantity in levels]) + "]"
