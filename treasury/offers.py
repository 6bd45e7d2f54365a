"""What the venues offer for one wish now, as the worker stored it: the paths over books that are
fresh, what is free at each venue, and what may not be used and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import show
from core.db import raw
from exchanges.types import Market, Side
from prices import balances, books, markets
from prices.balances import StoredBalance
from prices.books import StoredBook
from prices.rates import show_price
from treasury.blocked import blocked
from treasury.paths import Path, find
from treasury.steps import Step, step_of

Key = tuple[str, str]  # venue and symbol, or venue and asset


@dataclass(frozen=True, slots=True)
class Offers:
    """`listed`: whether any path is listed at all, refused or not; None: no venue's markets are
    known. `free` by (venue, asset)."""

    paths: tuple[Path, ...]
    free: Mapping[Key, int]
    books: tuple[StoredBook, ...]
    refused: tuple[dict[str, Any], ...]
    listed: bool | None

    def evidence(self) -> list[dict[str, Any]]:
        """The books that were looked at, as a quote keeps them."""
        return [
            {
                "venue": book.venue,
                "symbol": book.symbol,
                "bid": show_price(book.best_bid),
                "ask": show_price(book.best_ask),
                "mid": show_price(book.mid),
                "sequence": str(book.sequence),
                "at": show(book.at),
            }
            for book in self.books
        ]


async def load(
    session: AsyncSession, from_asset: str, to_asset: str, tolerance: int, now: datetime
) -> Offers:
    """`tolerance` in basis points is treasury.steps' own; `now` is wall time."""
    connection = await raw(session)
    known = await markets.load(connection)
    useful = {key: known[key] for key in _on_the_way(known, from_asset, to_asset)}
    found = await books.load(connection, sorted({symbol for _, symbol in useful}))
    held = await balances.load(connection)
    taken = await blocked(session)
    refused = list(_refused(useful, found, held, now))
    banned = {(one["venue"], one["symbol"]) for one in refused}
    usable = {key: m for key, m in useful.items() if not banned & {key, (key[0], None)}}
    paths = [
        path
        for venue in sorted({venue for venue, _ in usable})
        for path in find(
            [
                _step(from_asset, to_asset, at, market, found[at, symbol], tolerance)
                for (at, symbol), market in usable.items()
                if at == venue
            ],
            from_asset,
            to_asset,
        )
    ]
    return Offers(
        paths=tuple(paths),
        free={key: one.free - taken.get(key, 0) for key, one in held.items()},
        books=tuple(found[key] for key in usable),
        refused=tuple(refused),
        listed=bool(useful) if known else None,
    )


def _on_the_way(known: Mapping[Key, Market], from_asset: str, to_asset: str) -> Iterator[Key]:
    """The markets that some path of one or two steps at one venue uses."""
    for venue in sorted({venue for venue, _ in known}):
        sides = {key: {m.base, m.quote} for key, m in known.items() if key[0] == venue}
        wanted = {from_asset, to_asset}
        near_from = {a for pair in sides.values() if from_asset in pair for a in pair} - wanted
        near_to = {a for pair in sides.values() if to_asset in pair for a in pair} - wanted
        between = near_from & near_to
        for key, pair in sides.items():
            if pair == wanted or (pair & wanted and pair & between):
                yield key


def _refused(
    useful: Mapping[Key, Market],
    found: Mapping[Key, StoredBook],
    held: Mapping[Key, StoredBalance],
    now: datetime,
) -> Iterator[dict[str, Any]]:
    for venue in sorted({venue for venue, _ in useful}):
        read = [one for (at, _), one in held.items() if at == venue]
        if not read or all(one.is_stale(now) for one in read):
            yield {"venue": venue, "symbol": None, "reason": "balances_unknown"}
    for (venue, symbol), market in useful.items():
        book = found.get((venue, symbol))
        reason: str | None = "no_book" if book is None else book.refusal(now)
        if not market.trading:
            reason = "not_trading"
        if reason is not None:
            yield {"venue": venue, "symbol": symbol, "reason": reason}


def _step(
    from_asset: str, to_asset: str, venue: str, market: Market, book: StoredBook, tolerance: int
) -> Step:
    """The side of a market on the way: gives `from`, or gets `to`."""
    sells = from_asset == market.base or to_asset == market.quote
    side = Side.SELL if sells else Side.BUY
    return step_of(venue, market, side, book.against(side), tolerance)
