"""What our accounts at the venues hold, as it was read last. For quotes; reconciliation asks the
venues themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.db import Raw
from exchanges.types import Balance

# Read every 30 s and after each order; three times that without an answer says nothing any more.
STALE_SECONDS = 90

_LOAD = "select venue, asset, free, locked, read_at from venue_balances"
_STORE = """
insert into venue_balances (venue, asset, free, locked, read_at)
select %(venue)s, n.asset, n.free, n.locked, %(read_at)s
  from unnest(%(asset)s::text[], %(free)s::numeric[], %(locked)s::numeric[])
    as n(asset, free, locked)
    on conflict (venue, asset) do update
   set free = excluded.free, locked = excluded.locked, read_at = excluded.read_at
"""
_FORGET = "delete from venue_balances where venue = %s and not asset = any(%s)"


@dataclass(frozen=True, slots=True)
class StoredBalance:
    """Units of 10**-18; `read_at` is wall time."""

    free: int
    locked: int
    read_at: datetime

    def is_stale(self, now: datetime) -> bool:
        return abs(now - self.read_at) > timedelta(seconds=STALE_SECONDS)


async def load(connection: Raw) -> dict[tuple[str, str], StoredBalance]:
    """By (venue, asset). One SELECT."""
    cursor = await connection.execute(_LOAD)
    return {(row[0], row[1]): StoredBalance(*row[2:]) for row in await cursor.fetchall()}


async def store(
    connection: Raw, venue: str, balances: Mapping[str, Balance], now: datetime
) -> None:
    """These are the account's balances now; what is not among them is none. `now` is wall time."""
    assets = list(balances)
    values = {
        "venue": venue,
        "read_at": now,
        "asset": assets,
        "free": [balances[asset].free for asset in assets],
        "locked": [balances[asset].locked for asset in assets],
    }
    async with connection.transaction():
        await connection.execute(_FORGET, (venue, assets))
        await connection.execute(_STORE, values)
