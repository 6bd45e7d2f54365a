"""Runs: asked for, leased, renewed, ended, shown. The row is the queue and the result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.clock import wall
from core.context import Context
from core.db import raw
from core.errors import NotFound
from core.listen import notify
from core.pages import page_of
from ledger.tables import BreakRow
from reconciliation.parts import Scope, Status
from reconciliation.tables import ReconciliationRun, ReconciliationSchedule

CHANNEL = "reconciliations"
COMMAND, SCHEDULE = "command", "schedule"

# One run at a time in a whole installation: two would read everything twice, and close each
# other's Breaks by what they saw earlier.
_CLAIM = """
update reconciliation_runs r
set attempts = attempts + 1, leased_until = %(until)s, started_at = coalesce(started_at, %(now)s)
from (
    select id from reconciliation_runs
    where due_at <= %(now)s and (leased_until is null or leased_until <= %(wall)s)
        and not exists (select from reconciliation_runs
            where due_at is not null and leased_until > %(wall)s)
    order by due_at, id limit 1 for update skip locked
) d where r.id = d.id
returning r.id
"""
_RENEW = """
update reconciliation_runs set leased_until = %s
where id = %s and attempts = %s and due_at is not null returning id
"""


async def request(
    session: AsyncSession, context: Context, scope: Scope, *, trigger: str, initiator: str
) -> ReconciliationRun:
    """A run that is due now; the worker wakes at commit."""
    now = context.clock.now()
    row = ReconciliationRun(
        id=ids.new(),
        scope=scope.value,
        status=Status.RUNNING.value,
        trigger=trigger,
        initiator=initiator,
        blocks=[],
        venues=[],
        compared=0,
        facts={},
        attempts=0,
        created_at=now,
        started_at=None,
        finished_at=None,
        due_at=now,
        leased_until=None,
    )
    session.add(row)
    await session.flush()
    await notify(session, CHANNEL)
    return row


async def schedule(context: Context, every_seconds: int) -> None:
    """Asks for a run of everything when its time has come; the first one `every_seconds` after
    the installation began. Cheap: one row."""
    now = context.clock.now()
    following = now + timedelta(seconds=every_seconds)
    async with context.database.begin() as session:
        query = select(ReconciliationSchedule).with_for_update(skip_locked=True)
        row = (await session.scalars(query)).one_or_none()
        if row is None:
            await session.execute(
                text(
                    "insert into reconciliation_schedule (id, due_at) values (1, :due)"
                    " on conflict do nothing"
                ),
                {"due": following},
            )
        elif row.due_at <= now:
            row.due_at = following
            await request(session, context, Scope.ALL, trigger=SCHEDULE, initiator=SCHEDULE)
        elif row.due_at > following:  # it was longer before
            row.due_at = following


async def claim(context: Context, lease: timedelta) -> Sequence[UUID]:
    """Leases the run that is due, if no other is under way."""
    now = wall()
    async with context.database.begin() as session:
        connection = await raw(session)
        lock = "select pg_advisory_xact_lock(hashtext('reconciliation_claim'))"
        await connection.execute(lock)
        values = {"now": context.clock.now(), "wall": now, "until": now + lease}
        return [row[0] for row in await (await connection.execute(_CLAIM, values)).fetchall()]


async def renew(context: Context, run_id: UUID, attempt: int, lease: timedelta) -> bool:
    """False when somebody else has taken the run up."""
    async with context.database.statement() as connection:
        cursor = await connection.execute(_RENEW, (wall() + lease, run_id, attempt))
        return await cursor.fetchone() is not None


async def find(session: AsyncSession, run_id: UUID | None) -> ReconciliationRun:
    """Raises NotFound."""
    row = await session.get(ReconciliationRun, run_id) if run_id else None
    if row is None:
        raise NotFound("no such reconciliation")
    return row


async def show(session: AsyncSession, run_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    return (await shown(session, [await find(session, run_id)]))[0]


async def page(
    session: AsyncSession, *, status: str | None, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, ReconciliationRun, limit, cursor, status=status)
    return await shown(session, rows), more


async def shown(session: AsyncSession, rows: Sequence[ReconciliationRun]) -> list[dict[str, Any]]:
    """As the API shows them."""
    counting = (
        select(BreakRow.run_id, func.count())
        .where(BreakRow.run_id.in_([row.id for row in rows]))
        .group_by(BreakRow.run_id)
    )
    opened: dict[UUID | None, int] = {r[0]: r[1] for r in await session.execute(counting)}
    return [_shown(row, opened.get(row.id, 0)) for row in rows]


def _shown(row: ReconciliationRun, opened: int) -> dict[str, Any]:
    facts = row.facts
    return {
        "id": ids.show("rec", row.id),
        "object": "reconciliation",
        "status": row.status,
        "scope": row.scope,
        "trigger": row.trigger,
        "blocks": row.blocks,
        "venues": row.venues,
        "compared": row.compared,
        "breaks_opened": opened,
        "breaks_resolved": facts.get("resolved", 0),
        "differences": sum(part["differences"] for part in facts.get("parts", {}).values()),
        "parts": facts.get("parts", {}),
        "unread": facts.get("unread", []),
        "behind": facts.get("behind", {}),
        "created_at": show_time(row.created_at),
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
    }


def _time(moment: datetime | None) -> str | None:
    return show_time(moment) if moment else None
