"""What the books and the tables say of a venue, in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from core.context import Context
from core.db import Raw, snapshot
from exchanges.types import Fill, Venue, VenueDeposit, VenueWithdrawal
from ledger.accounts import exchange
from reconciliation.parts import PREFIX

# Not the kept balance, which is held against the postings elsewhere: an entry that is gone is
# named by its item then, and by nothing else.
_BALANCES = "select asset, sum(amount) from postings where account = %s group by asset"
_FILLS = """
select symbol, fill_id as id, venue_order_id as venue_id, side, price, quantity, quote_quantity,
    fee, fee_asset, at, exists (
        select from postings p where p.entry_id = f.entry_id and p.account = %(account)s
    ) as booked
from fills f where venue = %(venue)s and at >= %(since)s
"""
# Also of Breaks that stand: whether they are gone must be looked at.
_SYMBOLS = """
select symbol from fills where venue = %(venue)s and at >= %(since)s
union select facts ->> 'symbol' from breaks
where starts_with(key, %(prefix)s) and status <> 'resolved' and facts ? 'symbol'
"""
_BEGUN = """
select min(j.posted_at) from journal_entries j join postings p on p.entry_id = j.id
where p.account = %s and j.kind = 'opening'
"""
# What resolutions of Breaks have changed of executions that are in the books.
_CORRECTED = """
select substr(b.key, length(%(prefix)s) + 1) as name, p.asset, sum(p.amount) as units
from breaks b
join journal_entries j on j.id = b.entry_id and j.kind = 'break_resolved'
join postings p on p.entry_id = j.id and p.account = %(account)s
where starts_with(b.key, %(prefix)s)
group by 1, 2
"""
_UNENDED = """
select client_id, venue_id, symbol, side, from_asset, to_asset, created_at from orders
where venue = %s and status in ('sent', 'unknown', 'open') order by id
"""
_ENTRIES = "select key from journal_entries where key = any(%s)"
# Booked under the venue's own id, or by the resolution of the Break that it was.
_BOOKED = """
select k.name, sum(p.amount)
from unnest(%(names)s::text[], %(keys)s::text[], %(breaks)s::text[]) as k (name, key, break)
join lateral (
    select id from journal_entries j where j.key = k.key
    union select b.entry_id from breaks b where b.key = k.break and b.entry_id is not null
) e on true
join postings p on p.entry_id = e.id and p.account = %(account)s
group by 1
"""


@dataclass(frozen=True, slots=True)
class KnownFill:
    """A row of `fills`: an execution that is in the books, unless its entry is gone (not `booked`).
    `corrected`: the ledger's code -> units by which people have changed since what it brought to
    our account."""

    symbol: str
    id: str
    venue_id: str
    side: str
    price: int
    quantity: int
    quote_quantity: int
    fee: int
    fee_asset: str
    at: datetime
    booked: bool
    corrected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unended:
    """An order of ours that may still be executed, or of which nobody knows."""

    client_id: str
    venue_id: str | None
    symbol: str
    side: str
    from_asset: str
    to_asset: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VenueBooks:
    """`balances`: the ledger's code -> units. `fills`: (symbol, id) -> ours."""

    balances: Mapping[str, int]
    fills: Mapping[tuple[str, str], KnownFill]
    unended: Sequence[Unended]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a venue says. `amendments`: what undoes or corrects executions. `untold`: symbols whose
    executions it does not tell, for they are no markets any more. `moved`: the ledger's codes of
    what moved while it was read, here or in the books, also at the last try; `began`: when that one
    began."""

    began: datetime
    as_of: datetime
    balances: Mapping[str, int]
    fills: Sequence[Fill]
    amendments: Sequence[Fill]
    untold: frozenset[str]
    deposits: Sequence[VenueDeposit]
    withdrawals: Sequence[VenueWithdrawal]
    books: VenueBooks
    moved: frozenset[str]


@dataclass(frozen=True, slots=True)
class Absent:
    """A transfer that the books have and the venue should show. `effect`: what the books say that
    it did to our account there, in the venue's units."""

    name: str
    direction: str
    asset: str
    effect: int
    at: datetime


@dataclass(frozen=True, slots=True)
class KnownTransfers:
    """`booked`: `deposit:<id>` or `withdrawal:<id>` of the venue -> the effect that the books have
    of it. `awaited`: known to be under way, so that what is not booked yet is only early. What is
    in neither nobody has explained."""

    booked: Mapping[str, int]
    absent: Sequence[Absent]
    awaited: frozenset[str]


async def booked(
    connection: Raw,
    venue: Venue,
    deposits: Sequence[VenueDeposit],
    withdrawals: Sequence[VenueWithdrawal],
) -> dict[str, int]:
    """What was booked of a venue's transfers one by one: by the venue's own id,
    `venue_transfer:<venue>:deposit|withdrawal:<id>`, or by a person who resolved the Break."""
    names = [f"deposit:{one.id}" for one in deposits]
    names += [f"withdrawal:{one.id}" for one in withdrawals]
    values = {
        "names": names,
        "keys": [f"venue_transfer:{venue}:{name}" for name in names],
        "breaks": [f"{PREFIX}venue:{venue}:{name}" for name in names],
        "account": exchange(venue),
    }
    return dict(await (await connection.execute(_BOOKED, values)).fetchall())


async def corrections(connection: Raw, venue: Venue) -> dict[str, int]:
    """`deposit:<id>` or `withdrawal:<id>` -> what people have changed of its effect in the books by
    resolving its Breaks."""
    return {
        f"{direction}:{name}": units
        for direction in ("deposit", "withdrawal")
        for name, _, units in await _corrected(connection, venue, direction)
    }


async def _corrected(connection: Raw, venue: Venue, what: str) -> list[tuple[str, str, int]]:
    """(name, the ledger's code, units)."""
    values = {"prefix": f"{PREFIX}venue:{venue}:{what}:", "account": exchange(venue)}
    return await (await connection.execute(_CORRECTED, values)).fetchall()


async def begun(context: Context, venue: Venue) -> datetime | None:
    """When the books of this venue began: what happened before is in the opening balance."""
    async with context.database.statement() as connection:
        row = await (await connection.execute(_BEGUN, (exchange(venue),))).fetchone()
    return row[0] if row else None


async def balances(connection: Raw, venue: Venue) -> dict[str, int]:
    """The ledger's code -> units; zeros are what was held once."""
    return dict(await (await connection.execute(_BALANCES, (exchange(venue),))).fetchall())


async def read(context: Context, venue: Venue, since: datetime) -> VenueBooks:
    """Fills that happened after `since`, by the venue's clock."""
    async with context.database.read() as session:
        connection = await snapshot(session)
        held = await balances(connection, venue)
        async with connection.cursor(row_factory=class_row(KnownFill)) as cursor:
            values = {"venue": venue.value, "since": since, "account": exchange(venue)}
            await cursor.execute(_FILLS, values)
            fills = {(f.symbol, f.id): f for f in await cursor.fetchall()}
        for name, code, units in await _corrected(connection, venue, "fill"):
            symbol, _, number = name.partition(":")
            if (symbol, number) in fills:
                fills[symbol, number].corrected[code] = units
        async with connection.cursor(row_factory=class_row(Unended)) as cursor:
            await cursor.execute(_UNENDED, (venue.value,))
            unended = await cursor.fetchall()
    return VenueBooks(held, fills, unended)


async def symbols(context: Context, venue: Venue, since: datetime) -> set[str]:
    """Of executions since then that are in the books, and of those that Breaks are about."""
    values = {"venue": venue.value, "since": since, "prefix": f"{PREFIX}venue:{venue}:"}
    async with context.database.statement() as connection:
        rows = await (await connection.execute(_SYMBOLS, values)).fetchall()
    return {symbol for (symbol,) in rows}


async def in_journal(context: Context, keys: Sequence[str]) -> set[str]:
    """Those keys that entries stand under."""
    async with context.database.statement() as connection:
        cursor = await connection.execute(_ENTRIES, (list(keys),))
        return {row[0] for row in await cursor.fetchall()}


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> frozenset[str]:
    """Which of two readings differ."""
    codes = before.keys() | after.keys()
    return frozenset(code for code in codes if before.get(code, 0) != after.get(code, 0))
