"""What a run found goes into the tables part by part, so that a run that dies leaves what it
proved: Breaks opened and closed, the result so far, and who is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from ledger.breaks import BreakKind, Difference, break_json, close_break, open_break
from ledger.tables import BreakRow
from reconciliation import marks, runs
from reconciliation.parts import Part, Scope, Status, Unread, parts_json
from reconciliation.resolving import Resolution
from reconciliation.tables import ReconciliationRun
from webhooks.events import NewEvent, emit

GONE = "gone"
"""A later run did not find the difference any more."""
ARRIVED = "arrived"
"""What was under way has arrived."""


class Taken(Exception):
    """Another worker has taken the run up, or it ended: what was found here is dropped."""


async def begin(context: Context, run_id: UUID) -> tuple[Scope, str, int]:
    """A run taken up anew forgets what was found before: scope, trigger, and which attempt this
    is. Its Breaks stand."""
    async with context.database.begin() as session:
        row = await session.get_one(ReconciliationRun, run_id, with_for_update=True)
        if row.due_at is None:
            raise Taken
        row.blocks, row.venues, row.compared, row.facts = [], [], 0, {}
        return Scope(row.scope), row.trigger, row.attempts


async def store(context: Context, run_id: UUID, attempt: int, part: Part) -> None:
    """One comparison: all of it in one transaction. Raises Taken."""
    now = context.clock.now()
    async with context.database.begin() as session:
        row = await _mine(session, run_id, attempt)
        accepted = await _accepted(session, part.found)
        found = [d for d in part.found if d.key not in accepted]
        opened = [await open_break(session, one, now) for one in found]
        closed = await _close(session, context, part, {d.key for d in part.found}, run_id)
        events = [_event(context, "opened", one) for one in opened if one is not None]
        events += [_event(context, "resolved", one) for one in closed]
        await emit(session, events, now)
        await marks.store(session, part.marks)
        result = {**part.result(), "differences": part.differing - len(accepted)}
        facts = dict(row.facts)
        facts["parts"] = {**facts.get("parts", {}), part.name: result}
        facts["resolved"] = facts.get("resolved", 0) + len(closed)
        row.facts = facts
        row.compared += part.compared
        row.blocks = [*row.blocks, *([part.block] if part.block else [])]
        row.venues = [*row.venues, *([part.venue] if part.venue else [])]


async def end(
    context: Context, run_id: UUID, attempt: int, unread: Sequence[Unread], **facts: Any
) -> None:
    """The result, whatever came of it. Raises Taken."""
    now = context.clock.now()
    async with context.database.begin() as session:
        row = await _mine(session, run_id, attempt)
        row.facts = {**row.facts, **facts, "unread": parts_json(unread)}
        parts = row.facts.get("parts", {}).values()
        if unread:
            row.status = Status.FAILED.value
        elif any(part["differences"] for part in parts):
            row.status = Status.BREAKS.value
        else:
            row.status = Status.CLEAN.value
        row.finished_at, row.due_at, row.leased_until = now, None, None
        await session.flush()
        [shown] = await runs.shown(session, [row])
        event = NewEvent(None, "reconciliation.completed", shown["id"], shown)
        await emit(session, [event], now)


async def _mine(session: AsyncSession, run_id: UUID, attempt: int) -> ReconciliationRun:
    row = await session.get_one(ReconciliationRun, run_id, with_for_update=True)
    if row.attempts != attempt or row.due_at is None:
        raise Taken
    return row


async def _accepted(session: AsyncSession, found: Sequence[Difference]) -> set[str]:
    """Keys of differences that a person has explained, and that did not change since."""
    if not found:
        return set()
    by_key = {one.key: one for one in found}
    query = (
        select(BreakRow)
        .where(BreakRow.key.in_(by_key), BreakRow.resolution == Resolution.EXPLAINED.value)
        .order_by(BreakRow.resolved_at)
    )
    explained = {row.key: row for row in await session.scalars(query)}
    return {
        key
        for key, row in explained.items()
        if (row.expected, row.actual) == (by_key[key].expected, by_key[key].actual)
    }


async def _close(
    session: AsyncSession, context: Context, part: Part, found: Collection[str], run_id: UUID
) -> list[BreakRow]:
    """Breaks of this part that are not there any more. Where not all could be named, none is."""
    if not part.all_named:
        return []
    closed = []
    by = ids.show("rec", run_id)
    for key, kind in (await marks.standing(session, part.prefix)).items():
        if key in found or key in part.unjudged:
            continue
        resolution = ARRIVED if kind == BreakKind.TIMING else GONE
        row = await close_break(session, key, resolution, context.clock.now(), by=by)
        if row is not None:
            closed.append(row)
    return closed


def _event(context: Context, what: str, row: BreakRow) -> NewEvent:
    data = break_json(row, context.catalog, context.clock.now())
    return NewEvent(None, f"break.{what}", ids.show("brk", row.id), data)
