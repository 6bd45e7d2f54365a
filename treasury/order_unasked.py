"""Orders and moves of a venue that is not configured any more: nobody can ask it, and nothing is
guessed. They stay as they are, with their funds blocked, and a person is told of each."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.work import DATABASE_AWAY
from exchanges.types import Venue
from ledger.accounts import exchange
from ledger.breaks import BreakKind, Difference
from ledger.tables import BreakRow
from treasury.breaks import close_and_tell, open_and_tell
from treasury.units import ledger_code

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30
PATIENCE = timedelta(minutes=2)  # a restart with another configuration is no trouble yet
PREFIX = "unasked:"

# What waits for a word of its venue, and should have been looked at long ago. What has ended is
# merely watched, and reconciliation says that the venue is not read.
_STRANDED = text("""
select 'ord' as prefix, id, venue, from_asset as asset, status, client_id, blocked + held as blocked
from orders
where due_at <= :late and venue <> all(:venues)
    and status not in ('filled', 'cancelled', 'refused')
union all
select 'mov', id, venue, asset, status, null, blocked from moves
where due_at <= :late and venue is not null and venue <> all(:venues)
    and status not in ('done', 'failed')
order by 1, 2
""")


async def run(context: Context, venues: Collection[Venue]) -> None:
    """For ever, in any number of workers. `venues`: those that are configured."""
    while True:
        try:
            await look(context, venues, wall())
        except DATABASE_AWAY as error:
            log.warning("unasked_interrupted", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def look(context: Context, venues: Collection[Venue], now: datetime) -> int:
    """Opens a Break for each that waits in vain, once, and closes those of venues that are
    configured again: their orders and moves go on by themselves. Returns how many wait. `now` is
    wall time."""
    async with context.database.begin() as session:
        values = {"late": now - PATIENCE, "venues": [venue.value for venue in venues]}
        rows = (await session.execute(_STRANDED, values)).all()
        waiting = {_key(row): row for row in rows}
        known = await _told(session)
        back = [
            (key, "the venue is configured again, or it has ended")
            for key, status in known.items()
            if key not in waiting and status != "resolved"
        ]
        await close_and_tell(session, context, back)
        new = [row for key, row in waiting.items() if key not in known]
        await open_and_tell(session, context, [_difference(context, row) for row in new])
    return len(waiting)


async def _told(session: AsyncSession) -> dict[str, str]:
    """What a person knows of: by key, open or explained by himself."""
    query = select(BreakRow.key, BreakRow.status).where(
        BreakRow.key.startswith(PREFIX),
        (BreakRow.status != "resolved") | BreakRow.resolved_by.is_not(None),
    )
    return {row.key: row.status for row in await session.execute(query)}


def _key(row: Any) -> str:
    return f"{PREFIX}{ids.show(row.prefix, row.id)}"


def _difference(context: Context, row: Any) -> Difference:
    """`expected` is what stays blocked, as venues count."""
    return Difference(
        key=_key(row),
        kind=BreakKind.TIMING,
        place=exchange(row.venue),
        asset=ledger_code(context.catalog, row.asset),
        expected=int(row.blocked),
        facts={
            "order" if row.prefix == "ord" else "move": ids.show(row.prefix, row.id),
            "venue": row.venue,
            "status": row.status,
            "client_order_id": row.client_id,
            "reason": f"{row.venue} is not configured: nobody can ask it what became of this",
            "to_resolve": "configure the venue again: it goes on by itself, until then its funds"
            " stay blocked; resolving this changes nothing of it",
        },
    )
