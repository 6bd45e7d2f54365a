"""The ledger's entries as facts for lots, in the order of its chain.

A deposit is worth what it was valued at when it was seen (`deposits.house_value`). Anything else
is worth what the stored prices said then: the last reading that was accepted, at most OLDEST old.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core import ids
from core.db import Database, Raw
from core.money import Asset
from core.networks import Catalog
from exchanges.numbers import ONE
from ledger.journal import Kind
from ledger.reads import symbol
from ledger.units import fine as fine_of
from prices.book import HUB
from treasury.gains import Fact
from treasury.worth import fine, finest

PAGE = 1000
# Chainlink speaks once a day at least; what is older says nothing of that moment.
OLDEST = timedelta(hours=25)

# `offset 0`: one probe for each entry, where the planner would read the whole table for each page.
_FACTS = """
select c.seq, j.id, j.posted_at, j.kind, j.reference, j.evidence ->> 'symbol', p.changes
  from entry_chain c
  join lateral (select * from journal_entries where id = c.entry_id offset 0) j on true
  join lateral (
      select jsonb_agg(jsonb_build_array(asset, amount::text) order by n) as changes
        from postings where entry_id = j.id and (account like 'network:%%'
            or account like 'exchange:%%' or account like 'bank:%%' or account like 'transit:%%')
  ) p on p.changes is not null
 where c.seq > %s and c.seq <= %s
 order by c.seq
"""
_HEAD = "select coalesce(max(seq), 0) from entry_chain"
_SEEN = "select id, house_value from deposits where id = any(%s) and house_value is not null"
_PRICES = """
select n.i, r.price from unnest(%s::int[], %s::text[], %s::text[], %s::timestamptz[])
    as n (i, base, quote, at)
cross join lateral (
    select price from price_readings
     where base = n.base and quote = n.quote and refused is null and price is not null
       and observed_at <= n.at and observed_at > n.at - %s
     order by observed_at desc, id desc limit 1
) r
"""

Leg = tuple[str, str, bool]  # base, quote, and whether it is read the other way round


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value to be found: units of an asset at a moment."""

    asset: str
    units: int
    at: datetime


async def head(database: Database) -> int:
    """The last entry that has its number."""
    async with database.statement() as connection:
        row = await (await connection.execute(_HEAD)).fetchone()
    return int(row[0]) if row else 0


async def read(
    database: Database, catalog: Catalog, after: int, through: int
) -> AsyncIterator[list[Fact]]:
    """Facts of entries after < seq <= through, a page at a time; those that change no place are
    left out."""
    for start in range(after, through, PAGE):
        async with database.statement() as connection:
            cursor = await connection.execute(_FACTS, (start, min(start + PAGE, through)))
            found = [fact for row in await cursor.fetchall() if (fact := _fact(catalog, row))]
            yield await _valued(connection, catalog, found)


def _fact(catalog: Catalog, row: Sequence[Any]) -> Fact | None:
    seq, entry, at, kind, reference, traded, lines = row
    changes: Counter[str] = Counter()
    for code, amount in lines:
        changes[symbol(code)] += fine(catalog, code, int(amount))
    net = tuple(sorted((name, units) for name, units in changes.items() if units))
    return Fact(seq, entry, at, kind, reference, net, symbol=traded) if net else None


async def _valued(connection: Raw, catalog: Catalog, facts: Sequence[Fact]) -> list[Fact]:
    """The facts with what they were worth."""
    house = catalog.asset(catalog.house_currency)
    seen = await _seen(connection, facts, house)
    wanted: dict[int, Wanted] = {}
    for n, fact in enumerate(facts):
        if fact.entry not in seen and (one := _wanted(fact)) is not None:
            wanted[n] = one
    worth = await _worth(connection, catalog, wanted)
    return [replace(f, worth=seen.get(f.entry, worth.get(n))) for n, f in enumerate(facts)]


def _wanted(fact: Fact) -> Wanted | None:
    """A trade is worth what changed in its quote asset; a receipt what came."""
    asset = fact.bought if fact.sold is None else (fact.symbol or "").partition("-")[2]
    units = abs(dict(fact.changes).get(asset or "", 0))
    return Wanted(asset, units, fact.at) if asset and units else None


async def _seen(connection: Raw, facts: Iterable[Fact], house: Asset | None) -> dict[UUID, int]:
    """By entry, for deposits as they were seen: their stored value."""
    entries = {
        number: fact.entry
        for fact in facts
        if fact.kind == Kind.DEPOSIT_SEEN and (number := ids.read("dep", fact.reference))
    }
    if not entries or house is None:
        return {}
    cursor = await connection.execute(_SEEN, (list(entries),))
    return {
        entries[number]: fine_of(house, int(value)) for number, value in await cursor.fetchall()
    }


async def _worth(connection: Raw, catalog: Catalog, wanted: dict[int, Wanted]) -> dict[int, int]:
    """Units of 10**-18 of the house currency, rounded down; without those that have no price."""
    house = catalog.house_currency
    asked = [
        (n, leg, one.at)
        for n, one in wanted.items()
        for route in _routes(one.asset, house)
        for leg in route
    ]
    known: defaultdict[int, dict[Leg, int]] = defaultdict(dict)
    if asked:
        columns = (
            list(range(len(asked))),
            [base for _, (base, _, _), _ in asked],
            [quote for _, (_, quote, _), _ in asked],
            [at for _, _, at in asked],
        )
        for i, price in await (await connection.execute(_PRICES, (*columns, OLDEST))).fetchall():
            known[asked[i][0]][asked[i][1]] = int(price)
    worth = {}
    for n, one in wanted.items():
        ratio = _ratio(known[n], one.asset, house)
        if ratio is not None:
            above, below = ratio
            worth[n] = one.units * above * ONE // (below * 10 ** finest(catalog, one.asset))
    return worth


def _routes(asset: str, house: str) -> list[tuple[Leg, ...]]:
    """As prices.book goes: the pair, its inverse, or through USD."""
    if asset == house:
        return [()]
    routes: list[tuple[Leg, ...]] = [((asset, house, False),), ((house, asset, True),)]
    if HUB not in (asset, house):
        firsts: list[Leg] = [(asset, HUB, False), (HUB, asset, True)]
        seconds: list[Leg] = [(HUB, house, False), (house, HUB, True)]
        routes += [(first, second) for first in firsts for second in seconds]
    return routes


def _ratio(prices: dict[Leg, int], asset: str, house: str) -> tuple[int, int] | None:
    """What one `asset` was worth in `house`, as an exact fraction."""
    for route in _routes(asset, house):
        if all(leg in prices for leg in route):
            above = below = 1
            for leg in route:
                price = prices[leg]
                above, below = (
                    (above * ONE, below * price) if leg[2] else (above * price, below * ONE)
                )
            return above, below
    return None
