"""The venues' markets as they are stored: rules and fees, refreshed by the worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.db import Raw
from core.networks import Catalog
from exchanges.types import Market

_COLUMNS = (
    *("symbol", "native", "base", "quote", "tick", "step", "min_quantity", "max_quantity"),
    *("min_notional", "max_notional", "taker_fee", "trading"),
)
_LOAD = f"select venue, {', '.join(_COLUMNS)} from venue_markets order by venue, symbol"  # noqa: S608
_STORE = f"""
insert into venue_markets (venue, {", ".join(_COLUMNS)}, read_at)
values (%(venue)s, {", ".join(f"%({name})s" for name in _COLUMNS)}, %(read_at)s)
    on conflict (venue, symbol) do update
   set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])},
       read_at = excluded.read_at
"""  # noqa: S608
_FORGET = "delete from venue_markets where venue = %s and not symbol = any(%s)"


def known(catalog: Catalog, markets: Mapping[str, Market]) -> dict[str, Market]:
    """The markets between things that the house has or prices; a venue has thousands more."""
    currencies = catalog.currencies
    return {
        symbol: market
        for symbol, market in markets.items()
        if market.base in currencies and market.quote in currencies
    }


async def load(connection: Raw) -> dict[tuple[str, str], Market]:
    """All, by (venue, symbol). One SELECT."""
    cursor = await connection.execute(_LOAD)
    rows = await cursor.fetchall()
    return {(row[0], row[1]): Market(**dict(zip(_COLUMNS, row[1:], strict=True))) for row in rows}


async def store(connection: Raw, venue: str, markets: Mapping[str, Market], now: datetime) -> None:
    """These are the venue's markets now; others of it are forgotten. `now` is wall time."""
    rows = [
        {"venue": venue, "read_at": now} | {name: getattr(market, name) for name in _COLUMNS}
        for market in markets.values()
    ]
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(_FORGET, (venue, list(markets)))
        await cursor.executemany(_STORE, rows)
