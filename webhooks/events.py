"""Events: what happened, told once, in the transaction that made it happen.

The body is rendered once and its exact bytes are kept: every attempt, the feed and a replay tell
the same. Deliveries are queued by the statement that stores the events, so that neither stands
without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show
from core.db import Raw, raw
from webhooks.desk import Lease
from webhooks.queue import Due


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`merchant_id` None: the house's own, in the feed of operators only, delivered to nobody.

    `subject` is the TypeID of the object; `data` the object as the API shows it, or its JSON, kept
    byte for byte; `endpoint` the one made for an invoice's `webhook_url`, which hears of it
    whatever else it listens to.
    """

    merchant_id: UUID | None
    type: str
    subject: str
    data: Mapping[str, Any] | msgspec.Raw
    endpoint: UUID | None = None


# Which endpoints hear of an event `g`: shared by emit and redeliver.
LISTENS = """
    e.merchant_id = g.merchant_id and e.status = 'enabled' and (
        e.id = g.endpoint_id
        or not e.per_invoice
            and e.events && array['*', g.type, split_part(g.type, '.', 1) || '.*'])
"""

# A delivery's id takes the time from its event's (UUIDv7), so that ids still follow time. Leased
# are the first few of an endpoint for which nothing else waits: what is queued keeps its turn.
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
    insert into deliveries
        (id, event_id, endpoint_id, status, attempts, due_at, created_at, leased_until)
    select overlay(g.id::text placing substr(md5(g.id::text || e.id::text), 1, 12) from 25)::uuid,
        g.id, e.id, 'pending', 0, %(now)s, %(now)s,
        case when row_number() over (partition by e.id order by g.id) <= %(room)s::int
            and e.id <> all(%(busy)s::uuid[]) and not exists (
                select from deliveries d where d.endpoint_id = e.id and d.status = 'pending')
            then %(until)s::timestamptz end
    from given g join webhook_endpoints e on {LISTENS}
    returning id, event_id, endpoint_id, leased_until
)
select q.id, q.event_id, q.leased_until, q.endpoint_id, e.merchant_id, e.url, e.secret,
    m.webhook_secret, e.old_secret, e.old_secret_until, null
from queued q join webhook_endpoints e on e.id = q.endpoint_id
join merchants m on m.id = e.merchant_id
where q.leased_until is not null
union all
(select null, null, null, null, null, null, null, null, null, null,
    pg_notify('deliveries', '')::text
from queued where leased_until is null limit 1)
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


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Body(msgspec.Struct):
    data: _Data


def object_of(body: str) -> bytes:
    """The object in a rendered event, byte for byte as it was rendered."""
    return bytes(msgspec.json.decode(body, type=_Body).data.object)


async def emit(session: AsyncSession, events: Sequence[NewEvent], now: datetime) -> None:
    """Stores the events and queues their deliveries, in the caller's transaction.

    One statement whatever their number. Their order is kept: ids grow along the sequence.
    """
    if events:
        await emit_on(await raw(session), events, now)


@dataclass(frozen=True, slots=True)
class Emitted:
    """Events on their way into the database; bodies by the event's id."""

    cursor: AsyncCursor[Any]
    bodies: Mapping[UUID, str]

    async def leased(self) -> list[Due]:
        """The deliveries that were leased, in the order of their events. To be sent after the
        commit only."""
        rows = [row[:-1] for row in await self.cursor.fetchall() if row[0] is not None]
        return [
            Due(
                id=id_, event_id=event, body=self.bodies[event], attempts=0, original=True,
                leased_until=until, endpoint_id=endpoint, merchant_id=merchant, url=url,
                enabled=True, secret=secret, merchant_secret=merchant_secret,
                old_secret=old_secret, old_secret_until=old_until,
            )
            for id_, event, until, endpoint, merchant, url, secret, merchant_secret, old_secret,
            old_until in sorted(rows, key=itemgetter(1))
        ]  # fmt: skip


async def emit_on(
    connection: Raw, events: Sequence[NewEvent], now: datetime, lease: Lease | None = None
) -> Emitted | None:
    """`emit` on a psycopg connection, for statements sent in a pipeline.

    With a `lease` the deliveries that it covers are the caller's to send: see `Emitted.leased`.
    """
    if not events:
        return None
    new = [ids.new() for _ in events]
    bodies = [render(event, id_, now) for event, id_ in zip(events, new, strict=True)]
    cursor = await connection.execute(
        _EMIT,
        {
            "ids": new,
            "merchants": [e.merchant_id for e in events],
            "types": [e.type for e in events],
            "subjects": [e.subject for e in events],
            "bodies": bodies,
            "endpoints": [e.endpoint for e in events],
            "now": now,
            "room": lease.room if lease else 0,
            "busy": list(lease.busy) if lease else [],
            "until": lease.until if lease else None,
        },
    )
    return Emitted(cursor, dict(zip(new, bodies, strict=True)))
