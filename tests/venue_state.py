"""Venues as a worker would have stored them, for tests that need no worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from core.clock import wall
from core.db import Database
from exchanges.numbers import parse
from exchanges.types import Balance, Level, Market
from prices import balances, books, markets
from prices.books import StoredBook

Listing = tuple[Market, Sequence[Level], Sequence[Level]]  # with its bids and asks


def stored(venue: str, listing: Listing, at: datetime) -> StoredBook:
    market, bids, asks = listing
    below, above = ([[str(o.price), str(o.quantity)] for o in side] for side in (bids, asks))
    return StoredBook(venue, market.symbol, below, above, 1, at, None, True)


async def tell(
    database: Database, venue: str, listings: Iterable[Listing], held: Mapping[str, str]
) -> None:
    """A venue whose stream was heard just now. `held` in major units."""
    now, listings = wall(), list(listings)
    found = {market.symbol: market for market, _, _ in listings}
    units = {asset: Balance(parse(amount), 0) for asset, amount in held.items()}
    async with database.statement() as connection:
        await markets.store(connection, venue, found, now)
        await books.store(connection, venue, [stored(venue, one, now) for one in listings])
        await books.heard(connection, venue, now)
        await balances.store(connection, venue, units, now)
