"""What an export is of, and its entries as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.db import Database

PAGE = 1000
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)

_ENTRIES = """
select c.seq, c.hash, j.id, j.key, j.kind, j.reference, j.merchant_id, j.evidence::text,
       j.posted_at,
       (select jsonb_agg(jsonb_build_array(p.account, p.asset, p.amount::text) order by p.n)
          from postings p where p.entry_id = j.id)
  from entry_chain c join journal_entries j on j.id = c.entry_id
 where c.seq > %s and c.seq <= %s and j.posted_at >= %s and j.posted_at < %s
 order by c.seq
"""


class What(StrEnum):
    """What may be exported."""

    JOURNAL = "journal"
    """Every entry with all its postings."""
    GAINS = "gains"
    """What left, what it had cost and what it brought."""
    LOTS = "lots"
    """What is held and what it cost, as it stood at the period's end."""


class Format(StrEnum):
    """How it is written."""

    CSV = "csv"
    """RFC 4180."""
    BEANCOUNT = "beancount"
    """Plain text accounting; the journal only."""


@dataclass(frozen=True, slots=True)
class Period:
    """since <= time < until, of the entries numbered up to `through`."""

    since: datetime | None
    until: datetime
    through: int

    @property
    def first(self) -> datetime:
        return self.since or EARLIEST


@dataclass(frozen=True, slots=True)
class Line:
    """One posting: base units of the ledger's asset, debit positive."""

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry with its place in the ledger's chain. `evidence` is PostgreSQL's own text."""

    seq: int
    hash: bytes
    id: UUID
    key: str
    kind: str
    reference: str
    merchant_id: UUID | None
    evidence: str
    posted_at: datetime
    lines: tuple[Line, ...]


async def entries(database: Database, period: Period) -> AsyncIterator[list[Numbered]]:
    """In the order of the chain, a page at a time."""
    for start in range(0, period.through, PAGE):
        end = min(start + PAGE, period.through)
        async with database.statement() as connection:
            cursor = await connection.execute(_ENTRIES, (start, end, period.first, period.until))
            rows = await cursor.fetchall()
        yield [_numbered(row) for row in rows]


def _numbered(row: Sequence[Any]) -> Numbered:
    seq, chained, entry, key, kind, reference, merchant, evidence, at, lines = row
    found = tuple(Line(account, asset, int(amount)) for account, asset, amount in lines)
    return Numbered(seq, chained, entry, key, kind, reference, merchant, evidence, at, found)


def instant(moment: datetime) -> str:
    """To the microsecond: what is exported can be told apart as in the ledger."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
