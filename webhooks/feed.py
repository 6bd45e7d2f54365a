"""The event feed: oldest first, in the sequencer's order, complete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from webhooks.tables import Event, EventSeq

STREAM_PAGE = 100
POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """A numbered event. `body` is the exact webhook body; `seq` is the reader's cursor."""

    seq: int
    id: UUID
    type: str
    body: str


async def page(
    session: AsyncSession, merchant_id: UUID | None, kind: str | None, *, after: int, limit: int
) -> list[Told]:
    """Up to `limit` events with a number above `after`, oldest first.

    `merchant_id` None: all events, the house's own too (an operator's feed). `kind` is a type or
    a pattern like `invoice.*`.
    """
    query = (
        select(EventSeq.seq, EventSeq.event_id, EventSeq.type, Event.body)
        .join(Event, Event.id == EventSeq.event_id)
        .where(EventSeq.seq > after)
        .order_by(EventSeq.seq)
        .limit(limit)
    )
    if merchant_id is not None:
        query = query.where(EventSeq.merchant_id == merchant_id)
    if kind is not None and kind.endswith(".*"):
        query = query.where(EventSeq.type.startswith(kind[:-1], autoescape=True))
    elif kind is not None and kind != "*":
        query = query.where(EventSeq.type == kind)
    return [Told(*row) for row in await session.execute(query)]


async def last(session: AsyncSession) -> int:
    """The highest number given so far; 0 before the first."""
    return await session.scalar(select(func.max(EventSeq.seq))) or 0


async def follow(
    context: Context, merchant_id: UUID | None, kind: str | None, *, after: int
) -> AsyncIterator[Told]:
    """What was told since `after`, then what is told from now on. Never ends.

    Holds no connection while it waits, and reads on only as fast as its reader takes.
    """
    async with context.listener.subscribe("events") as notified:
        while True:
            notified.drain()
            async with context.database.read() as session:
                told = await page(session, merchant_id, kind, after=after, limit=STREAM_PAGE)
            for event in told:
                yield event
                after = event.seq
            if not told:
                await notified.next(POLL_SECONDS)
