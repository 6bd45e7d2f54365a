"""Telling a person of a move that cannot be proved or does not arrive, and hearing his word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import show as show_time
from core.context import Context
from core.ids import show
from ledger.accounts import exchange, transit
from ledger.breaks import BreakKind, Difference, break_json, close_break, open_break
from ledger.tables import BreakRow
from treasury.move_tables import Move
from webhooks.events import NewEvent, emit


def key(row: Move) -> str:
    """Names the difference: a move stands open once."""
    return f"move:{show('mov', row.id)}"


async def open_for(
    session: AsyncSession, context: Context, row: Move, left: int, now: datetime
) -> None:
    """Opens the move's Break, once, and tells of it. left: base units in transit. `now` is wall
    time."""
    if row.told_at is not None:
        return
    row.told_at = now
    found = await open_break(session, _difference(row, left), context.clock.now())
    if found is not None:
        await _emit(session, context, "break.opened", found)


async def close_for(session: AsyncSession, context: Context, row: Move) -> None:
    """The move has come to its end after all."""
    if row.told_at is None:
        return
    row.told_at = None
    found = await close_break(session, key(row), f"the move is {row.status}", context.clock.now())
    if found is not None:
        await _emit(session, context, "break.resolved", found)


async def decided(session: AsyncSession, row: Move) -> bool:
    """Whether a person has resolved it: then the withdrawal counts as not there."""
    query = select(BreakRow.status).where(BreakRow.key == key(row))
    query = query.order_by(BreakRow.opened_at.desc()).limit(1)
    return await session.scalar(query) == "resolved"


def _difference(row: Move, left: int) -> Difference:
    """In transit: base units of the asset; unproved: what the venue should show."""
    facts: dict[str, Any] = {
        "move": show("mov", row.id),
        "from": row.source,
        "to": row.destination,
        "tx_hash": row.tx_hash,
        "venue_transfer": row.venue_id,
        "reason": row.reason,
        "sent_at": show_time(row.sent_at) if row.sent_at else None,
    }
    if row.reason == "outcome_unknown":
        kind, place, facts["times_absent"] = BreakKind.MISSING_AT_VENUE, row.venue, row.absent
        return Difference(
            key=key(row),
            kind=kind,
            place=exchange(str(place)),
            asset=row.asset,
            expected=row.amount,
            facts=facts,
        )
    differs = row.reason == "amount_differs"
    return Difference(
        key=key(row),
        kind=BreakKind.AMOUNT if differs else BreakKind.TIMING,
        place=transit(row.id),
        asset=row.asset,
        expected=0,
        actual=left,
        facts=facts,
    )


async def _emit(session: AsyncSession, context: Context, type_: str, row: BreakRow) -> None:
    now = context.clock.now()
    data = break_json(row, context.catalog, now)
    await emit(session, [NewEvent(None, type_, show("brk", row.id), data)], now)
