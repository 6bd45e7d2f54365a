"""The journal as Beancount (https://beancount.github.io/docs/beancount_language_syntax.html).

A period that does not begin with the ledger begins with one transaction of all balances before it.
It ends with what the ledger says of each account, so that `bean-check` proves the export complete;
nothing is tolerated: sums are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from core.clock import show as show_time
from core.context import Context
from core.ids import show
from core.money import Asset
from core.networks import Catalog
from ledger.reads import exact, symbol
from treasury import beancount_names as names
from treasury.export_period import Numbered, Period, entries, instant
from treasury.worth import fine, finest

PAGE = 1000
# Beancount adds with Python's Decimal of 28 digits: a larger balance is right but cannot be proved
# by it.
DIGITS = 27

_BALANCES = """
select p.account, p.asset, coalesce(sum(p.amount) filter (where p.posted_at < %s), 0),
       sum(p.amount), min(p.posted_at) filter (where p.posted_at >= %s)
  from entry_chain c join postings p on p.entry_id = c.entry_id
 where c.seq <= %s and p.posted_at < %s
 group by p.account, p.asset order by p.account, p.asset
"""


@dataclass(slots=True)
class _Balances:
    """(account, symbol) -> units of the finest count, and when an account is first used."""

    opening: Counter[tuple[str, str]] = field(default_factory=Counter)
    closing: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[str, date] = field(default_factory=dict)


async def journal(context: Context, period: Period) -> AsyncIterator[bytes]:
    """Transactions in the order of the ledger's chain, each with its time, key and hash."""
    catalog = context.catalog
    balances = await _balances(context, period)
    yield _block(_head(catalog, period))
    yield _block(_opens(balances))
    if period.since is not None and any(balances.opening.values()):
        yield _block(_opening(catalog, balances, period.since))
    async for page in entries(context.database, period):
        if page:
            yield _block(line for entry in page for line in _transaction(catalog, entry))
    closing = _closing(catalog, balances, period)
    for start in range(0, len(closing), PAGE):
        yield _block(closing[start : start + PAGE])


def _block(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


async def _balances(context: Context, period: Period) -> _Balances:
    found = _Balances()
    asked = (period.first, period.first, period.through, period.until)
    async with context.database.statement() as connection:
        rows = await (await connection.execute(_BALANCES, asked)).fetchall()
    for account, code, before, after, first in rows:
        key = (account, symbol(code))
        found.opening[key] += fine(context.catalog, code, int(before))
        found.closing[key] += fine(context.catalog, code, int(after))
        if before and period.since is not None:
            found.first[account] = _day(period.since)
        elif first is not None:
            day = _day(first)
            found.first[account] = min(found.first.get(account, day), day)
    return found


def _head(catalog: Catalog, period: Period) -> list[str]:
    since = show_time(period.since) if period.since else "the beginning"
    return [
        f"; The journal from {since} until {show_time(period.until)}. Debit is positive.",
        'option "title" "Bezant"',
        f'option "operating_currency" {names.text(names.commodity(catalog.house_currency))}',
        'option "tolerance_multiplier" "0"',
        "",
    ]


def _opens(balances: _Balances) -> list[str]:
    return [
        f"{day} open {names.account(account)}\n  account: {names.text(account)}"
        for account, day in sorted(balances.first.items())
    ]


def _opening(catalog: Catalog, balances: _Balances, since: datetime) -> list[str]:
    lines = [
        f"  {names.account(account)}  {_amount(catalog, name, units)}"
        for (account, name), units in sorted(balances.opening.items())
        if units
    ]
    return ["", f'{_day(since)} * "opening" "Balances before {show_time(since)}"', *lines]


def _transaction(catalog: Catalog, entry: Numbered) -> list[str]:
    lines = [
        "",
        f"{_day(entry.posted_at)} * {names.text(entry.kind)} {names.text(entry.reference)}",
        f"  entry: {names.text(show('je', entry.id))}",
        f"  time: {names.text(instant(entry.posted_at))}",
        f"  key: {names.text(entry.key)}",
        f"  seq: {entry.seq}",
        f"  hash: {names.text(entry.hash.hex())}",
    ]
    for line in entry.lines:
        amount = exact(catalog, line.asset, line.amount)
        coin = names.commodity(symbol(line.asset))
        lines.append(f"  {names.account(line.account)}  {amount} {coin}")
    return lines


def _closing(catalog: Catalog, balances: _Balances, period: Period) -> list[str]:
    """As the ledger itself adds up. A `balance` holds at the beginning of its day."""
    day = _day(period.until - timedelta(microseconds=1)) + timedelta(days=1)
    return [
        "",
        *(
            f"{day} balance {names.account(account)}  {_amount(catalog, name, units)}"
            for (account, name), units in sorted(balances.closing.items())
            if account in balances.first and len(str(abs(units))) <= DIGITS
        ),
    ]


def _amount(catalog: Catalog, name: str, units: int) -> str:
    places = finest(catalog, name)
    return f"{Asset(name, places, places).format(units)} {names.commodity(name)}"


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
