"""Events: what happened, told once, in the transaction that made it happen.

The body is rendered once and its exact bytes are kept: every attempt, the feed and a replay tell
the same. Deliveries are queued by the statement that stores the events, so that neither stands
without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show
from core.db import Raw, raw


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`merchant_id` None: the house's own, in the feed of operators only, delivered to nobody.

    `subject` is the TypeID of the object, `data` the object as the API shows it, `endpoint` the
    endpoint made for an invoice's `webhook_url`, which hears of it whatever else it listens to.
    """

    merchant_id: UUID | None
    type: str
    subject: str
    data: Mapping[str, Any]
    endpoint: UUID | None = None


# Which endpoints hear of an event `g`: shared by emit and redeliver.
LISTENS = """
    e.merchant_id = g.merchant_id and e.status = 'enabled' and (
        e.id = g.endpoint_id
        or not e.per_invoice
            and e.events && array['*', g.type, split_part(g.type, '.', 1) || '.*'])
"""

# A delivery's id takes the time from its event's (UUIDv7), so that ids still follow time.
_EMIT = f"""
with given as (
    select * from unnest(
        %(ids)s::uuid[], %(merchants)s::uuid[], %(types)b::text[], %(subjects)b::text[],
        %(bodies)b::text[], %(endpoints)s::uuid[]
    ) as g (id, merchant_id, type, subject, body, endpoint_id)
), stored as (
    insert into events (id, merchant_id, type, subject, body, created_at)
    select id, merchant_id, type, subject, body, %(now)s from given
), queued as (
    insert into deliveries (id, event_id, endpoint_id, status, attempts, due_at, created_at)
    select overlay(g.id::text placing substr(md5(g.id::text || e.id::text), 1, 12) from 25)::uuid,
        g.id, e.id, 'pending', 0, %(now)s, %(now)s
    from given g join webhook_endpoints e on {LISTENS}
    returning 1
)
select pg_notify('deliveries', '') from queued limit 1
"""  # noqa: S608 - no value is pasted in, only the condition above


def render(event: NewEvent, event_id: UUID, now: datetime) -> str:
    """The exact body that is signed, sent and kept."""
    return msgspec.json.encode(
        {
            "id": ids.show("evt", event_id),
            "type": event.type,
            "timestamp": show(now),
            "data": {"object": event.data},
        }
    ).decode()


async def emit(session: AsyncSession, events: Sequence[NewEvent], now: datetime) -> None:
    """Stores the events and queues their deliveries, in the caller's transaction.

    One statement whatever their number. Their order is kept: ids grow along the sequence.
    """
    if events:
        await emit_on(await raw(session), events, now)


async def emit_on(connection: Raw, events: Sequence[NewEvent], now: datetime) -> None:
    """`emit` on a psycopg connection, for statements sent in a pipeline."""
    if not events:
        return
    new = [ids.new() for _ in events]
    await connection.execute(
        _EMIT,
        {
            "ids": new,
            "merchants": [e.merchant_id for e in events],
            "types": [e.type for e in events],
            "subjects": [e.subject for e in events],
            "bodies": [render(event, id_, now) for event, id_ in zip(events, new, strict=True)],
            "endpoints": [e.endpoint for e in events],
            "now": now,
        },
    )
