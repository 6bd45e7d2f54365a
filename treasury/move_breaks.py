"""Telling a person of a move that cannot be proved or does not arrive, and hearing his word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import show as show_time
from core.context import Context
from core.ids import show
from ledger.accounts import exchange, transit
from ledger.breaks import BreakKind, Difference
from treasury.breaks import close_and_tell, is_resolved, open_and_tell
from treasury.move_tables import Move


def key(row: Move) -> str:
    """Names the difference: a move stands open once."""
    return f"move:{show('mov', row.id)}"


async def open_for(
    session: AsyncSession,
    context: Context,
    row: Move,
    left: int,
    now: datetime,
    *,
    again: bool = False,
) -> None:
    """Opens the move's Break, once, and tells of it. left: base units in transit. `now` is wall
    time. again: it says something else by now."""
    if row.told_at is not None and not again:
        return
    row.told_at = now
    await open_and_tell(session, context, [_difference(row, left)])


async def close_for(session: AsyncSession, context: Context, row: Move) -> None:
    """The move has come to its end after all, or goes on as it should."""
    if row.told_at is None:
        return
    row.told_at = None
    await close_and_tell(session, context, [(key(row), f"the move is {row.status}")])


async def decided(session: AsyncSession, row: Move) -> bool:
    """Whether a person has resolved it: then the withdrawal counts as not there."""
    return await is_resolved(session, key(row))


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
        # What stays in between when the books take what the venue shows.
        actual=left - (row.shown or 0),
        facts=facts,
    )
