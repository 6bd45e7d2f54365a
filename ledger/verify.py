"""Walks the hash chain and recomputes what the books claim (MONEY 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import dict_row

from core.db import Database, Raw, snapshot
from core.ids import show
from ledger.sequence import ENTRY, GENESIS, Content, link

BATCH = 1000
MOST_NAMED = 100  # problems of one kind that are named one by one


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind`: hash, gap, missing_entry, unchained, unbalanced, balance. `entry` is its TypeID.
    Of a balance: the `account`, its `asset`, what the postings sum to and what it says."""

    kind: str
    entry: str | None
    message: str
    account: str | None = None
    asset: str | None = None
    expected: int | None = None
    actual: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`entries` are chained ones, `head` the last one's hash; `pending` wait for their number.
    `seq` is the last one's number."""

    entries: int
    head: bytes
    pending: int
    problems: tuple[Problem, ...]
    seq: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def first_tampered(self) -> str | None:
        """The entry, in the chain's order, where the books first stop being what they were."""
        return next((p.entry for p in self.problems if p.entry is not None), None)


_CHAIN = f"""
select c.seq, c.entry_id, c.hash, {ENTRY}
from entry_chain c left join journal_entries j on j.id = c.entry_id
where c.seq > %s order by c.seq limit %s
"""  # noqa: S608 - no value is pasted in

# Entries that were committed before the last chained one's numbering are either chained or
# pending; one that is neither was put in, or taken out of the chain, by hand.
_UNCHAINED = """
select j.id, 'is neither in the chain nor waiting for its number' from journal_entries j
where not exists (select from entry_chain c where c.entry_id = j.id)
    and not exists (select from entry_pending p where p.entry_id = j.id)
order by j.id limit %s
"""
_GONE = """
select c.entry_id, 'stands in the chain and is gone' from entry_chain c
where c.seq <= %s and not exists (select from journal_entries j where j.id = c.entry_id)
order by c.seq limit %s
"""
_UNBALANCED = """
select p.entry_id, 'its postings in ' || p.asset || ' sum to ' || sum(p.amount)::text
from postings p group by p.entry_id, p.asset having sum(p.amount) <> 0
order by p.entry_id limit %s
"""
_ORPHANS = """
select distinct p.entry_id, 'has postings, but the entry itself is missing' from postings p
where not exists (select from journal_entries j where j.id = p.entry_id)
order by p.entry_id limit %s
"""
_BALANCES = """
select coalesce(b.account, s.account), coalesce(b.asset, s.asset), coalesce(s.total, 0),
    coalesce(b.balance, 0)
from account_balances b
full join (select account, asset, sum(amount) as total from postings group by account, asset) s
    on s.account = b.account and s.asset = b.asset
where coalesce(b.balance, 0) <> coalesce(s.total, 0)
order by 1, 2 limit %s
"""
_LINK = "select hash from entry_chain where seq = %s"


async def verify(database: Database, after: int = 0, head: bytes = GENESIS) -> Report:
    """Reads the ledger in one snapshot; payments go on meanwhile.

    Hashes are recomputed of the entries behind number `after`, whose own hash must be `head`:
    what was proved once need not be walked again. Sums and balances are always all.
    """
    async with database.read() as session:
        connection = await snapshot(session)
        entries, seq, head, problems = await _walk(connection, after, head)
        if after:  # what the walk did not come by
            cursor = await connection.execute(_GONE, [after, MOST_NAMED])
            problems += _named("missing_entry", await cursor.fetchall())
        problems += await _entries(connection, "missing_entry", _ORPHANS)
        problems += await _entries(connection, "unchained", _UNCHAINED)
        problems += await _entries(connection, "unbalanced", _UNBALANCED)
        cursor = await connection.execute(_BALANCES, [MOST_NAMED])
        problems += [_balance(*row) for row in await cursor.fetchall()]
        cursor = await connection.execute("select count(*) from entry_pending")
        pending = (await cursor.fetchone() or (0,))[0]
    return Report(entries, head, pending, tuple(problems), seq)


async def _walk(connection: Raw, seq: int, head: bytes) -> tuple[int, int, bytes, list[Problem]]:
    """Recomputes each hash from the stored one before it: every change is named by itself."""
    count = seq
    problems: list[Problem] = []
    if seq:
        kept = await (await connection.execute(_LINK, [seq])).fetchone()
        if kept is None or kept[0] != head:
            said = "is gone" if kept is None else "has another hash than when it was proved"
            problems.append(Problem("hash", None, f"entry {seq} of the chain {said}"))
            head = kept[0] if kept else head
    async with connection.cursor(row_factory=dict_row) as cursor:
        while True:
            await cursor.execute(_CHAIN, [seq, BATCH])
            rows = await cursor.fetchall()
            for row in rows:
                if len(problems) < MOST_NAMED:
                    problems += _judge(row, seq, head)
                seq, head = row["seq"], row["hash"]
            count += len(rows)
            if len(rows) < BATCH:
                return count, seq, head, problems


def _balance(account: str, asset: str, expected: int, actual: int) -> Problem:
    said = f"{account} in {asset}: the balance is {actual}, the postings sum to {expected}"
    return Problem("balance", None, said, account, asset, expected, actual)


def _judge(row: dict[str, Any], before: int, head: bytes) -> list[Problem]:
    seq, stored, chained = row.pop("seq"), row.pop("hash"), row.pop("entry_id")
    name = show("je", chained)
    row["seq"], row["hash"] = seq, stored
    if seq != before + 1:
        return [Problem("gap", name, f"entry {seq} follows {before}: what stood between is gone")]
    if row["id"] is None:
        return [Problem("missing_entry", name, f"entry {seq} stands in the chain and is gone")]
    fields = {key: row[key] for key in Content.__dataclass_fields__}
    if link(head, Content(**fields)) != stored:
        return [Problem("hash", name, f"entry {seq} is not what was chained: {row['key']}")]
    return []


async def _entries(connection: Raw, kind: str, query: LiteralString) -> list[Problem]:
    cursor = await connection.execute(query, [MOST_NAMED])
    return _named(kind, await cursor.fetchall())


def _named(kind: str, rows: Sequence[tuple[UUID, str]]) -> list[Problem]:
    return [Problem(kind, show("je", entry), f"{show('je', entry)} {text}") for entry, text in rows]
