"""The sequencer of entries and the hash chain over them (MONEY 1).

Committed entries get gapless numbers in a table beside them; an entry's own row is never touched.
The hash of entry n is SHA-256(hash of n-1 | content of n), and 32 zero bytes stand before the
first. Whoever kept an old hash outside can tell whether what came before it is still the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import class_row

from core.context import Context
from core.db import Database, Raw, raw
from core.singleton import lock_number
from core.work import run_alone

LIMIT = 1000
GENESIS = bytes(32)
NAME = "sequencer:entries"

# An entry as it is hashed. Its evidence is PostgreSQL's own text of the jsonb, read without floats.
ENTRY = """
    j.id, j.key, j.kind, j.reference, j.merchant_id, j.evidence::text as evidence, j.posted_at,
    (select coalesce(jsonb_agg(
            jsonb_build_array(p.n, p.account, p.asset, p.amount::text,
                to_char(p.posted_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US'))
            order by p.n), '[]')
        from postings p where p.entry_id = j.id)::text as postings
"""
_PENDING = f"""
select {ENTRY} from journal_entries j
where j.id in (select entry_id from entry_pending order by entry_id limit %s) order by j.id
"""  # noqa: S608 - no value is pasted in


@dataclass(frozen=True, slots=True)
class Content:
    """What the hash covers."""

    id: UUID
    key: str
    kind: str
    reference: str
    merchant_id: UUID | None
    evidence: str
    posted_at: datetime
    postings: str

    def canonical(self) -> bytes:
        """JSON with sorted keys, without spaces, UTF-8; numbers stay as they are written."""
        return json.dumps(
            {
                "id": str(self.id),
                "key": self.key,
                "kind": self.kind,
                "reference": self.reference,
                "merchant_id": None if self.merchant_id is None else str(self.merchant_id),
                "evidence": json.loads(self.evidence, parse_float=str),
                "posted_at": self.posted_at.astimezone(UTC).isoformat(timespec="microseconds"),
                "postings": json.loads(self.postings),
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()


def link(previous: bytes, content: Content) -> bytes:
    """The hash of an entry that follows `previous`."""
    return hashlib.sha256(previous + content.canonical()).digest()


async def number_pending(database: Database, limit: int = LIMIT) -> int:
    """Numbers and chains up to `limit` waiting entries in the order of their ids; how many.

    The lock makes two numberers take turns; `entry_chain`'s keys would refuse anything else.
    """
    async with database.begin() as session:
        connection = await raw(session)
        await connection.execute("select pg_advisory_xact_lock(%s)", [lock_number(f"{NAME}:guard")])
        async with connection.cursor(row_factory=class_row(Content)) as cursor:
            await cursor.execute(_PENDING, [limit])
            entries = await cursor.fetchall()
        if entries:
            await _append(connection, entries)
        return len(entries)


async def _append(connection: Raw, entries: Sequence[Content]) -> None:
    cursor = await connection.execute("select seq, hash from entry_chain order by seq desc limit 1")
    seq, head = await cursor.fetchone() or (0, GENESIS)
    hashes: list[bytes] = []
    for content in entries:
        head = link(head, content)
        hashes.append(head)
    chained = [content.id for content in entries]
    numbers = list(range(seq + 1, seq + 1 + len(entries)))
    await connection.execute(
        "insert into entry_chain (seq, entry_id, hash)"
        " select * from unnest(%s::bigint[], %s::uuid[], %s::bytea[])",
        [numbers, chained, hashes],
    )
    await connection.execute("delete from entry_pending where entry_id = any(%s)", [chained])


async def run(context: Context) -> None:
    """The singleton loop; a second one stands by."""
    await run_alone(
        context, NAME, "entry_pending", lambda: number_pending(context.database), full=LIMIT
    )
