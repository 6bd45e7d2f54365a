"""Every asset by place, what of it is owed, and what is at the house's own risk (API 2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from core.clock import show as show_time
from core.context import Context
from core.db import Raw
from core.networks import Catalog
from ledger.accounts import is_place
from ledger.reads import symbol
from prices.book import load
from prices.rates import age_seconds, show_price
from treasury import books
from treasury.books import Books
from treasury.lots import Method
from treasury.profit import profit_json
from treasury.worth import Worth, fine, show_units

# Debts are many accounts and two sums; places and the house's own accounts are few.
_BALANCES = """
select case when account like 'merchant:%' then 'merchants'
            when account like 'wallet:%' then 'customers' else account end, asset, sum(balance)
  from account_balances where balance <> 0 group by 1, 2
"""
OWED = ("merchants", "customers")


@dataclass(slots=True)
class Position:
    """One asset, in units of its finest count. `owed` is what debts say, negated."""

    symbol: str
    places: Counter[str] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)

    @property
    def held(self) -> int:
        return sum(self.places.values())

    @property
    def exposure(self) -> int:
        """What is held and owed to nobody: at the house's own risk. Negative: held too little."""
        return self.held - sum(self.owed.values())


async def positions(context: Context) -> dict[str, Any]:
    """The API's answer, out of balances and stored prices alone; nothing asks a chain or a venue.

    `oldest_lot` is under FIFO, through the entry `lots_through` of the ledger's chain. Both are
    null for the moments after a start in which a long history is read.
    """
    lots, complete = await books.near(context)
    now = context.clock.now()
    async with context.database.statement() as connection:
        balances = await _balances(connection, context.catalog)
        worth = Worth(context.catalog, await load(connection), now)
    found = _positions(balances)
    shown = [_shown(worth, one, lots if complete else None) for one in found]
    values = [worth.units(one.symbol, one.held) for one in found]
    exposures = [worth.units(one.symbol, one.exposure) for one in found]
    return {
        "object": "list",
        "data": shown,
        "has_more": False,
        "next_cursor": None,
        "at": show_time(now),
        "currency": worth.currency.symbol,
        "value": worth.show(_sum(values)),
        "exposure_value": worth.show(_sum(exposures)),
        "unpriced": [one.symbol for one in found if worth.rate(one.symbol) is None],
        "conversions": profit_json(worth, balances),
        "lots_through": lots.seq if complete else None,
    }


async def _balances(connection: Raw, catalog: Catalog) -> Counter[tuple[str, str]]:
    """(account, symbol) -> units of the finest count, debit positive."""
    balances: Counter[tuple[str, str]] = Counter()
    for account, code, units in await (await connection.execute(_BALANCES)).fetchall():
        balances[account, symbol(code)] += fine(catalog, code, int(units))
    return balances


def _positions(balances: Counter[tuple[str, str]]) -> list[Position]:
    """By symbol; those that are held, or owed."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (account, name), units in sorted(balances.items()):
        if units and (is_place(account) or account in OWED):
            found[name][account] = units
    return [
        Position(
            name,
            Counter({a: units for a, units in accounts.items() if a not in OWED}),
            Counter({a: -units for a, units in accounts.items() if a in OWED}),
        )
        for name, accounts in sorted(found.items())
    ]


def _sum(values: list[Fraction | None]) -> Fraction:
    """Of those that have a price."""
    return sum((value for value in values if value is not None), Fraction(0))


def _shown(worth: Worth, one: Position, lots: Books | None) -> dict[str, Any]:
    name, catalog = one.symbol, worth.catalog
    rate = worth.rate(name)
    oldest = lots.by_method[Method.FIFO].oldest(name) if lots else None

    def amount(units: int) -> str:
        return show_units(catalog, name, units)

    def value(units: int) -> str | None:
        return worth.show(worth.units(name, units))

    return {
        "id": name,
        "object": "position",
        "created_at": show_time(worth.now),
        "asset": name,
        "amount": amount(one.held),
        "value": value(one.held),
        "price": rate.evidence | {"price": show_price(rate.price)} if rate else None,
        "price_refused": worth.why(name),
        "places": [
            {**_place(account), "amount": amount(units), "value": value(units)}
            for account, units in one.places.items()
        ],
        "owed": {kind: amount(one.owed[kind]) for kind in OWED},
        "owed_value": value(sum(one.owed.values())),
        "exposure": amount(one.exposure),
        "exposure_value": value(one.exposure),
        "oldest_lot": oldest
        and oldest.at
        and {
            "acquired_at": show_time(oldest.at),
            "age_seconds": age_seconds(oldest.at, worth.now),
        },
    }


def _place(account: str) -> dict[str, str | None]:
    """`network:eip155:1:hot` -> kind `hot` on its network; `exchange:binance`, `bank:x`,
    `transit:mov_...`: kind and reference."""
    kind, _, rest = account.partition(":")
    if kind == "network":
        network, _, role = rest.rpartition(":")
        return {"place": account, "kind": role, "network": network, "reference": None}
    return {"place": account, "kind": kind, "network": None, "reference": rest}
