"""The deliveries that are due, claimed fairly, and what came of them, stored in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from core.db import Raw
from webhooks.attempt import Attempt
from webhooks.schedule import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A claimed delivery with all that its attempt needs. Secrets are sealed."""

    id: UUID
    event_id: UUID
    body: str
    attempts: int  # before this one
    original: bool  # queued when the event was made, not by redeliver or replay
    leased_until: datetime
    endpoint_id: UUID
    merchant_id: UUID
    url: str
    enabled: bool
    secret: bytes | None  # None: the merchant's own
    merchant_secret: bytes
    old_secret: bytes | None
    old_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    due: Due
    attempt: Attempt | None  # None: not tried, because the endpoint is disabled
    verdict: Verdict


# Walks from endpoint to endpoint (a skip scan of deliveries_due) and takes the first few due rows
# of each: thousands of rows waiting at a dead endpoint are neither read nor in anybody's way. When
# there is not room for all, every endpoint's first row comes before anybody's second.
_CLAIM = """
with recursive waiting (endpoint_id) as (
    (select endpoint_id from deliveries where status = 'pending' order by endpoint_id limit 1)
    union all
    select (
        select d.endpoint_id from deliveries d
        where d.status = 'pending' and d.endpoint_id > w.endpoint_id
        order by d.endpoint_id limit 1)
    from waiting w where w.endpoint_id is not null
), due as (
    select w.endpoint_id, d.id, d.due_at, d.event_id
    from waiting w
    left join unnest(%(busy)s::uuid[], %(rooms)s::int[]) as b (endpoint_id, room)
        using (endpoint_id)
    cross join lateral (
        select id, due_at, event_id from deliveries d
        where d.endpoint_id = w.endpoint_id and d.status = 'pending' and d.due_at <= %(now)s
            and (d.leased_until is null or d.leased_until <= %(wall)s)
        order by d.due_at, d.event_id
        limit coalesce(b.room, %(room)s)
        for update skip locked
    ) d
), picked as (
    select id from due
    order by row_number() over (partition by endpoint_id order by due_at, event_id), due_at
    limit %(limit)s
), leased as (
    update deliveries d set leased_until = %(leased_until)s
    from picked where d.id = picked.id
    returning d.id, d.event_id, d.endpoint_id, d.attempts, d.created_at, d.leased_until
)
select l.id, l.event_id, ev.body, l.attempts, l.created_at = ev.created_at as original,
    l.leased_until, l.endpoint_id,
    e.merchant_id, e.url, e.status = 'enabled' as enabled, e.secret,
    m.webhook_secret as merchant_secret, e.old_secret, e.old_secret_until
from leased l
join events ev on ev.id = l.event_id
join webhook_endpoints e on e.id = l.endpoint_id
join merchants m on m.id = e.merchant_id
order by l.event_id
"""

# Fenced by the number of attempts: whoever lost its lease stores nothing but its line in the log.
# A POST that was accepted while the endpoint was being disabled has been delivered all the same.
_STORE = """
with given as (
    select * from unnest(
        %(ids)s::uuid[], %(attempts)s::int[], %(statuses)s::text[], %(dues)s::timestamptz[],
        %(ats)s::timestamptz[], %(durations)s::int[], %(codes)s::int[], %(errors)s::text[],
        %(responses)s::text[]
    ) as g (id, attempt, status, due_at, at, duration_ms, status_code, error, response)
), moved as (
    update deliveries d set
        status = g.status, due_at = coalesce(g.due_at, d.due_at), leased_until = null,
        attempts = case when g.at is null then d.attempts else g.attempt end,
        delivered_at = case when g.status = 'delivered' then %(now)s end
    from given g
    where d.id = g.id and d.attempts = g.attempt - 1
        and (d.status = 'pending' or d.status = 'disabled' and g.status = 'delivered')
)
insert into delivery_attempts (delivery_id, attempt, at, duration_ms, status_code, error, response)
select id, attempt, at, duration_ms, status_code, error, response from given where at is not null
on conflict do nothing
"""


async def claim(
    connection: Raw,
    *,
    limit: int,
    room: int,
    rooms: Mapping[UUID, int],
    now: datetime,
    wall: datetime,
    leased_until: datetime,
) -> list[Due]:
    """Leases due rows: at most `limit`, at most `room` per endpoint, or what `rooms` says of it.

    `now` is the domain's time, `wall` and `leased_until` are wall time.
    """
    async with connection.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(
            _CLAIM,
            {
                "busy": list(rooms),
                "rooms": list(rooms.values()),
                "room": room,
                "limit": limit,
                "now": now,
                "wall": wall,
                "leased_until": leased_until,
            },
        )
        return await cursor.fetchall()


async def store(connection: Raw, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What came of the attempts, in one statement."""
    tried = [(o, o.attempt) for o in outcomes]
    await connection.execute(
        _STORE,
        {
            "ids": [o.due.id for o in outcomes],
            "attempts": [o.due.attempts + 1 for o in outcomes],
            "statuses": [o.verdict.status for o in outcomes],
            "dues": [o.verdict.due_at for o in outcomes],
            "ats": [a and a.at for _, a in tried],
            "durations": [a and a.duration_ms for _, a in tried],
            "codes": [a and a.status_code for _, a in tried],
            "errors": [a and a.error for _, a in tried],
            "responses": [a and a.response for _, a in tried],
            "now": now,
        },
    )


async def release(connection: Raw, leases: Sequence[tuple[UUID, datetime]]) -> None:
    """Gives back what was claimed under these leases and not tried."""
    await connection.execute(
        "update deliveries d set leased_until = null"
        " from unnest(%s::uuid[], %s::timestamptz[]) as l (id, leased_until)"
        " where d.id = l.id and d.leased_until = l.leased_until and d.status = 'pending'",
        [[lease[0] for lease in leases], [lease[1] for lease in leases]],
    )


async def depth(connection: Raw) -> int:
    """How many deliveries are not finished."""
    cursor = await connection.execute("select count(*) from deliveries where status = 'pending'")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
