"""Local lists of addresses: loaded whole from a file, never half, and asked by every screening."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict, Invalid
from core.listen import notify
from risk.formats import Contents, read
from risk.tables import Screening, ScreeningAddress, ScreeningList

SAMPLE = Path(__file__).parent / "data" / "ofac_sample.xml"
_CHUNK = 5_000


class Kind(StrEnum):
    """What it means to be on a list."""

    SANCTIONS = "sanctions"
    """Nothing is taken from it or paid to it: reject."""
    MIXER = "mixer"
    """Where money comes from cannot be told: counts in a deposit's score."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An address on a list."""

    list: str
    kind: Kind
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did. `others` are addresses of other chains, which were left out."""

    list: str
    kind: Kind
    entries: int
    before: int
    others: int
    digest: str


async def load(
    session: AsyncSession,
    path: Path,
    *,
    name: str,
    kind: Kind,
    now: datetime,
    allow_shrinking: bool = False,
) -> Loaded:
    """Replaces the list `name` by the file's contents; screenings that wait are due again.

    Raises OSError, Invalid `unreadable_list` or `empty_list`, Conflict `list_shrank` for one with
    less than half of what is there: a page of an error, or half a download.
    """
    contents = await asyncio.to_thread(read, path)  # OFAC's advanced list takes many seconds
    if not contents.entries:
        raise Invalid.of("file", "holds no address of Ethereum's shape", code="empty_list")
    before = await session.get(ScreeningList, name, with_for_update=True)
    had = before.entries if before else 0
    if 2 * len(contents.entries) < had and not allow_shrinking:
        raise Conflict(
            f"{path.name} has {len(contents.entries)} addresses, {name} has {had}: is it whole?",
            code="list_shrank",
        )
    row = {
        "kind": kind.value,
        "source": path.name,
        "digest": contents.digest,
        "entries": len(contents.entries),
        "loaded_at": now,
    }
    await session.execute(
        upsert(ScreeningList)
        .values(name=name, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row)
    )
    await _replace(session, name, contents)
    await session.execute(update(Screening).where(Screening.status == "pending").values(due_at=now))
    await notify(session, "screenings")
    return Loaded(name, kind, len(contents.entries), had, contents.others, contents.digest)


async def _replace(session: AsyncSession, name: str, contents: Contents) -> None:
    await session.execute(delete(ScreeningAddress).where(ScreeningAddress.list == name))
    rows = [
        {"list": name, "address": address, "facts": listed.facts()}
        for address, listed in contents.entries.items()
    ]
    for start in range(0, len(rows), _CHUNK):
        await session.execute(insert(ScreeningAddress), rows[start : start + _CHUNK])


async def hits(session: AsyncSession, addresses: Collection[str]) -> dict[str, list[Hit]]:
    """The lists that name these addresses (lower case), sanctions first; only those that some list
    names. One statement."""
    query = (
        select(
            ScreeningAddress.address,
            ScreeningAddress.list,
            ScreeningList.kind,
            ScreeningAddress.facts,
        )
        .join(ScreeningList, ScreeningList.name == ScreeningAddress.list)
        .where(ScreeningAddress.address.in_(addresses))
        .order_by(ScreeningList.kind.desc(), ScreeningAddress.list)
    )
    found: dict[str, list[Hit]] = {}
    for address, name, kind, facts in await session.execute(query):
        found.setdefault(address, []).append(Hit(name, Kind(kind), facts))
    return found


async def age(session: AsyncSession, now: datetime) -> int | None:
    """Seconds since the newest list of sanctions was loaded; None: there is none."""
    query = select(func.max(ScreeningList.loaded_at)).where(
        ScreeningList.kind == Kind.SANCTIONS.value
    )
    loaded = await session.scalar(query)
    return None if loaded is None else int((now - loaded).total_seconds())
