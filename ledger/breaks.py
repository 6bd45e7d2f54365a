"""Breaks: differences that a person must be able to see, age and close."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.networks import Catalog
from ledger.tables import BreakRow


class BreakKind(StrEnum):
    """What kind of difference (API: Reconciliation)."""

    MISSING_IN_LEDGER = "missing_in_ledger"
    """The world has it, the books do not."""
    MISSING_ON_CHAIN = "missing_on_chain"
    """The books have it, the chain does not (any more)."""
    MISSING_AT_VENUE = "missing_at_venue"
    """The books have it, the venue does not show it."""
    AMOUNT = "amount"
    """Both sides have it, with different amounts; or a sum that no single item explains."""
    DUPLICATE = "duplicate"
    """The books have the same thing twice."""
    TIMING = "timing"
    """One side has it already, the other is known to be under way: closes when it arrives."""
    FEE = "fee"
    """Both sides agree but for what was charged."""
    ORPHAN = "orphan"
    """Something without a known origin, or a chain that contradicts what was final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What to open a Break for. `key` names the difference: it stands open only once."""

    key: str
    kind: BreakKind
    place: str
    asset: str | None = None
    expected: int | None = None
    actual: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    run_id: UUID | None = None


async def open_break(
    session: AsyncSession, difference: Difference, now: datetime
) -> BreakRow | None:
    """The new Break, or None when the same difference stands open already: then that one tells
    what is known by now."""
    statement = (
        insert(BreakRow)
        .values(
            id=ids.new(),
            key=difference.key,
            kind=difference.kind.value,
            place=difference.place,
            asset=difference.asset,
            expected=difference.expected,
            actual=difference.actual,
            facts=difference.facts,
            status="open",
            opened_at=now,
            run_id=difference.run_id,
        )
        .on_conflict_do_update(
            index_elements=["key"],
            index_where=text("status <> 'resolved'"),
            set_={
                "kind": difference.kind.value,
                "place": difference.place,
                "asset": difference.asset,
                "expected": difference.expected,
                "actual": difference.actual,
                "facts": difference.facts,
            },
        )
        .returning(BreakRow, literal_column("xmax = 0", Boolean()))  # true: inserted, not updated
        .execution_options(populate_existing=True)
    )
    row, is_new = (await session.execute(statement)).one()
    return row if is_new else None


async def close_break(
    session: AsyncSession, key: str, resolution: str, now: datetime, *, by: str | None = None
) -> BreakRow | None:
    """Resolves the open Break of this difference; None when there is none. by: the TypeID of who
    did, where that is not the difference's own maker."""
    statement = (
        update(BreakRow)
        .where(BreakRow.key == key, BreakRow.status != "resolved")
        .values(status="resolved", resolved_at=now, resolution=resolution, resolved_by=by)
        .returning(BreakRow)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one_or_none()


async def find(session: AsyncSession, break_id: UUID) -> BreakRow | None:
    return (await session.scalars(select(BreakRow).where(BreakRow.id == break_id))).one_or_none()


def break_json(row: BreakRow, catalog: Catalog, now: datetime) -> dict[str, Any]:
    """A Break as the API shows it."""
    asset = catalog.asset(row.asset) if row.asset else None

    def amount(units: int | None) -> str | None:
        if units is None:
            return None
        return asset.format(units) if asset else str(units)

    difference = None if row.expected is None or row.actual is None else row.actual - row.expected
    return {
        "id": ids.show("brk", row.id),
        "object": "break",
        "kind": row.kind,
        "status": row.status,
        "place": row.place,
        "asset": row.asset,
        "expected": amount(row.expected),
        "actual": amount(row.actual),
        "difference": amount(difference),
        "facts": row.facts,
        "age_seconds": int((now - row.opened_at).total_seconds()),
        "owner": row.owner,
        "created_at": show_time(row.opened_at),
        "acknowledged_at": show_time(row.acknowledged_at) if row.acknowledged_at else None,
        "resolved_at": show_time(row.resolved_at) if row.resolved_at else None,
        "resolved_by": row.resolved_by,
        "resolution": row.resolution,
        "note": row.note,
        "reconciliation": ids.show("rec", row.run_id) if row.run_id else None,
        "entry": ids.show("je", row.entry_id) if row.entry_id else None,
    }
