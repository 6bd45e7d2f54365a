"""What a run found goes into the tables part by part, so that a run that dies leaves what it
proved: Breaks opened and closed, the result so far, and who is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from ledger.accounts import Role
from ledger.breaks import BreakKind, Difference, break_json, close_break, open_break
from ledger.tables import BreakRow
from reconciliation import marks, runs
from reconciliation.booking import Resolution
from reconciliation.parts import Part, Scope, Status, Unread, parts_json
from reconciliation.tables import ReconciliationRun
from webhooks.events import NewEvent, emit

GONE = "gone"
"""A later run did not find the difference any more."""
ARRIVED = "arrived"
"""What was under way has arrived."""
GONE_AT = "gone_at"
"""Among the facts of an explained difference: when a run did not find it any more. Should one of
the same size stand there again, it is another one."""

SUMS = ("balance", "place", Role.DEPOSITS)
"""Differences of balances, by what their keys begin with: each run looks at all of them."""


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
        await _forget(session, part, {d.key for d in part.found}, now)
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
    query = (
        select(BreakRow)
        .where(
            BreakRow.key.in_([one.key for one in found]),
            BreakRow.resolution == Resolution.EXPLAINED.value,
            ~BreakRow.facts.has_key(GONE_AT),
        )
        .order_by(BreakRow.resolved_at)
    )
    explained = {row.key: row for row in await session.scalars(query)}
    return {one.key for one in found if one.key in explained and is_same(explained[one.key], one)}


def is_same(explained: BreakRow, found: Difference) -> bool:
    """Whether it is the difference that was explained: by how much the two sides differ, not what
    they come to, which honest business changes. A withdrawal under way may be in the venue's
    balance still, or not any more. What was only late is not explained for good, and a gap in the
    blocks that has grown is another one."""
    was, by = _by(explained.expected, explained.actual), _by(found.expected, found.actual)
    if explained.kind == BreakKind.TIMING != found.kind:
        return False
    if was is None or by is None:
        same = (explained.expected, explained.actual) == (found.expected, found.actual)
        return same and explained.facts.get("last") == found.facts.get("last")
    moving = [int(facts.get("moving_units", 0)) for facts in (explained.facts, found.facts)]
    return by - was in {0, moving[1], -moving[0], moving[1] - moving[0]}


def _by(expected: int | None, actual: int | None) -> int | None:
    return None if expected is None or actual is None else actual - expected


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


async def _forget(session: AsyncSession, part: Part, found: Collection[str], now: datetime) -> None:
    """What was explained of a sum, and is not there any more, excuses nothing that comes later. An
    item has a name of its own, and is merely not looked at any more."""
    if not part.all_named:
        return
    names = [part.key(name, "") for name in SUMS]
    query = select(BreakRow).where(
        or_(*(BreakRow.key.startswith(name, autoescape=True) for name in names)),
        BreakRow.resolution == Resolution.EXPLAINED.value,
        BreakRow.key.not_in({*found, *part.unjudged}),
        ~BreakRow.facts.has_key(GONE_AT),
    )
    for row in await session.scalars(query):
        row.facts = {**row.facts, GONE_AT: show_time(now)}


def _event(context: Context, what: str, row: BreakRow) -> NewEvent:
    data = break_json(row, context.catalog, context.clock.now())
    return NewEvent(None, f"break.{what}", ids.show("brk", row.id), data)
