"""Up to where earlier runs have proved something, and what of it stands in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from ledger.tables import BreakRow
from reconciliation.tables import ReconciliationMark

_OLDEST = text("""
select min((facts ->> 'first')::bigint) from breaks
where starts_with(key, :prefix) and status <> 'resolved'
""")
_SINCE = text("""
select min(facts ->> 'at') from breaks
where starts_with(key, :prefix) and status <> 'resolved' and facts ? 'at'
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """A position and what stood there; `at` in wall time."""

    position: int
    hash: str
    at: datetime | None


async def load(session: AsyncSession, name: str) -> Mark | None:
    row = await session.get(ReconciliationMark, name)
    return Mark(row.position, row.hash, row.at) if row else None


async def store(session: AsyncSession, marks: Mapping[str, tuple[int, str]]) -> None:
    """What a comparison has proved; a run on command may set it back to what it saw."""
    for name, (position, hash_) in marks.items():
        values: dict[str, Any] = {"position": position, "hash": hash_, "at": wall()}
        await session.execute(
            insert(ReconciliationMark)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )


async def standing(session: AsyncSession, prefix: str) -> dict[str, str]:
    """The unresolved Breaks of a comparison: their kinds by their keys."""
    query = select(BreakRow.key, BreakRow.kind).where(
        BreakRow.key.startswith(prefix, autoescape=True), BreakRow.status != "resolved"
    )
    return {row.key: row.kind for row in await session.execute(query)}


async def oldest_block(session: AsyncSession, prefix: str) -> int | None:
    """The lowest block that an unresolved Break is about: whether it is gone must be looked at."""
    found: int | None = await session.scalar(_OLDEST, {"prefix": prefix})
    return None if found is None else max(0, found - 1)


async def oldest_time(session: AsyncSession, prefix: str) -> datetime | None:
    """When the oldest item happened that an unresolved Break is about."""
    found: str | None = await session.scalar(_SINCE, {"prefix": prefix})
    return datetime.fromisoformat(found) if found else None
