"""Breaks that the treasury opens and closes by itself: each is told of, and people have a say."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.ids import show
from ledger.breaks import Difference, break_json, close_break, open_break
from ledger.tables import BreakRow
from webhooks.events import NewEvent, emit


async def open_and_tell(
    session: AsyncSession, context: Context, differences: Sequence[Difference]
) -> None:
    """One that stands already is not told of again."""
    now = context.clock.now()
    opened = [await open_break(session, one, now) for one in differences]
    await _tell(session, context, "break.opened", [row for row in opened if row is not None])


async def close_and_tell(
    session: AsyncSession, context: Context, ended: Sequence[tuple[str, str]]
) -> None:
    """The Breaks of these differences as far as they stand, each by its key with its resolution."""
    now = context.clock.now()
    closed = [await close_break(session, key, resolution, now) for key, resolution in ended]
    await _tell(session, context, "break.resolved", [row for row in closed if row is not None])


async def is_resolved(session: AsyncSession, key: str) -> bool:
    """Whether the last Break of this difference is."""
    query = select(BreakRow.status).where(BreakRow.key == key)
    query = query.order_by(BreakRow.opened_at.desc()).limit(1)
    return await session.scalar(query) == "resolved"


async def _tell(
    session: AsyncSession, context: Context, type_: str, rows: Sequence[BreakRow]
) -> None:
    now, catalog = context.clock.now(), context.catalog
    events = [
        NewEvent(None, type_, show("brk", row.id), break_json(row, catalog, now)) for row in rows
    ]
    await emit(session, events, now)
