"""What is known of a network besides its blocks: begun, idle, stalled, halted; and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Health
from chain.types import Block
from core.clock import show as show_time
from core.context import Context
from core.db import Raw
from core.errors import ForkBelowFinalized, NotFound
from core.networks import Network
from ledger.breaks import BreakKind, Difference
from payments import heights, overdraft
from payments.cases import Outcome
from payments.tables import BlockRow, NetworkCursor
from webhooks.events import NewEvent, emit


async def begin(
    session: AsyncSession, context: Context, network: Network, block: Block, genesis: str
) -> None:
    """Follows a network for the first time, from the block after this one."""
    now = context.clock.now()
    session.add(
        NetworkCursor(
            network=network.id,
            number=block.number,
            hash=block.hash,
            version=0,
            genesis=genesis,
            head=block.number,
            followed_until=now,
            stalled=False,
            endpoints=[],
            updated_at=now,
        )
    )
    session.add(
        BlockRow(
            network=network.id,
            number=block.number,
            hash=block.hash,
            parent_hash=block.parent_hash,
            timestamp=datetime.fromtimestamp(block.timestamp, UTC),
            traces=network.traces.value,
        )
    )


# Only where the cursor stands where we left it, on a head that is young enough, and nobody has to
# be told: one statement for nearly every look at a quiet chain.
_STILL = """
update network_cursors c set endpoints = %(endpoints)s,
    followed_until = case when %(paced)s then least(b.timestamp, %(now)s) else %(now)s end
from blocks b
where c.network = %(network)s and c.number = %(number)s and c.hash = %(hash)s and not c.stalled
    and b.network = c.network and b.number = c.number
    and (not %(paced)s or b.timestamp >= %(oldest)s)
"""


async def still_followed(
    connection: Raw,
    context: Context,
    network: Network,
    cursor: tuple[int, str],
    endpoints: Sequence[Health],
) -> bool:
    """At this moment the cursor is the head. False: something is different, see `doubt`.

    A node that stands still shows the same head for ever, so where blocks come at an interval
    the head must also be young; a chain that mines on demand (block_seconds 0) has no such age.
    """
    now = context.clock.now()
    updated = await connection.execute(
        _STILL,
        {
            "endpoints": Jsonb(_shown(endpoints)),
            "paced": bool(network.block_seconds),
            "now": now,
            "oldest": now - timedelta(seconds=network.stalled_after_seconds),
            "network": network.id,
            "number": cursor[0],
            "hash": cursor[1],
        },
    )
    return updated.rowcount > 0


async def doubt(
    session: AsyncSession, context: Context, network: Network, cursor: tuple[int, str]
) -> None:
    """The head is old, or followed again after it was: both are told once."""
    row = await session.get_one(NetworkCursor, network.id, with_for_update=True)
    if (row.number, row.hash) != cursor:
        return  # another worker went on
    now = stamp = context.clock.now()
    if network.block_seconds:
        stamp = (await session.get_one(BlockRow, (network.id, row.number))).timestamp
        if stamp < now - timedelta(seconds=network.stalled_after_seconds):
            await stall(session, context, network, now - stamp)
            return
    row.followed_until = heights.known_until(network, stamp, now)
    if row.stalled:
        row.stalled = False
        await _tell(session, context, row, "network.recovered", {})


async def stall(
    session: AsyncSession, context: Context, network: Network, silent: timedelta
) -> None:
    """Nothing new is known: said once. Expiry of what it offers waits (MONEY 3)."""
    row = await session.get(NetworkCursor, network.id, with_for_update=True)
    if row is not None and not row.stalled:
        row.stalled = True
        extra = {"silent_seconds": int(silent.total_seconds())}
        await _tell(session, context, row, "network.stalled", extra)


async def halt(
    session: AsyncSession, context: Context, network: Network, error: ForkBelowFinalized
) -> None:
    """A finalized block changed: nothing is credited until a person accepts the fork (CHAIN 1)."""
    row = await session.get_one(NetworkCursor, network.id, with_for_update=True)
    if row.halted is not None:
        return
    row.halted = str(error)
    difference = Difference(
        key=f"fork_below_finalized:{network.id}",
        kind=BreakKind.ORPHAN,
        place=f"network:{network.id}",
        facts={"network": network.id, "finalized": error.number, "cursor": row.number},
    )
    outcome = Outcome(context, {}, context.clock.now())
    await overdraft.open_and_tell(session, difference, outcome)
    await emit(session, outcome.events, outcome.now)


async def accept_fork(session: AsyncSession, context: Context, network_id: str) -> None:
    """A person's word that the new chain is the true one. Raises NotFound when none is halted."""
    query = select(NetworkCursor).where(NetworkCursor.network == network_id).with_for_update()
    row = (await session.scalars(query)).one_or_none()
    if row is None or row.halted is None:
        raise NotFound(f"{network_id} is not halted by a fork")
    row.halted, row.finalized = None, None
    outcome = Outcome(context, {}, context.clock.now())
    key = f"fork_below_finalized:{network_id}"
    await overdraft.close_and_tell(session, key, "a person accepted the fork", outcome)
    await emit(session, outcome.events, outcome.now)


def _shown(endpoints: Sequence[Health]) -> list[dict[str, Any]]:
    """Scores as the API shows them."""
    return [
        {
            "url_host": e.url_host,
            "score": e.score,
            "head": e.head,
            "lag": e.lag,
            "errors": e.errors,
            "quarantined_until": show_time(e.quarantined_until) if e.quarantined_until else None,
        }
        for e in endpoints
    ]


async def _tell(
    session: AsyncSession,
    context: Context,
    row: NetworkCursor,
    type_: str,
    extra: dict[str, Any],
) -> None:
    data = {
        "id": row.network,
        "object": "network",
        "height": row.number,
        "followed_until": show_time(row.followed_until),
        **extra,
    }
    await emit(session, [NewEvent(None, type_, row.network, data)], context.clock.now())
