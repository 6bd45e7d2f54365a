"""The log of deliveries, and sending again: one event, or all of a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.db import raw
from core.errors import Conflict, Invalid, NotFound
from core.listen import notify
from core.pages import newest_first
from webhooks.events import LISTENS
from webhooks.tables import Delivery, DeliveryAttempt, Event, WebhookEndpoint

MOST_REPLAYED = 10_000

# All pairs of an event and an endpoint that hears of it. An endpoint made for invoices hears again
# of what it was told before.
_PAIRS = f"""
select g.id, e.id from
    (select ev.*, null::uuid as endpoint_id from events ev) g join webhook_endpoints e
    on e.merchant_id = g.merchant_id and e.status = 'enabled' and (({LISTENS})
        or exists (select from deliveries d where d.event_id = g.id and d.endpoint_id = e.id))
"""  # noqa: S608 - no value is pasted in, only the condition
_OF_EVENT = _PAIRS + " where g.id = %s"
# As MONEY 1 has it, replay reads what the sequencer has numbered.
_OF_WINDOW = (
    _PAIRS
    + """
    join event_seq s on s.event_id = g.id
    where e.id = %s and g.created_at >= %s and g.created_at < %s order by s.seq limit %s"""
)

# What is still waiting is brought forward, everything else gets a delivery of its own.
_AGAIN = """
with wanted as (
    select * from unnest(%(ids)s::uuid[], %(events)s::uuid[], %(endpoints)s::uuid[])
        as w (id, event_id, endpoint_id)
), sooner as (
    update deliveries d set due_at = least(d.due_at, %(now)s) from wanted w
    where d.event_id = w.event_id and d.endpoint_id = w.endpoint_id and d.status = 'pending'
    returning d.id, d.event_id, d.endpoint_id
), queued as (
    insert into deliveries (id, event_id, endpoint_id, status, attempts, due_at, created_at)
    select id, event_id, endpoint_id, 'pending', 0, %(now)s, %(now)s from wanted w
    where not exists (
        select from sooner s where s.event_id = w.event_id and s.endpoint_id = w.endpoint_id)
    returning id
)
select id from sooner union all select id from queued order by id
"""


async def redeliver(
    session: AsyncSession, event_id: UUID, endpoint: WebhookEndpoint | None, now: datetime
) -> list[UUID]:
    """Sends an event again now, under its own id: to `endpoint`, or to all that hear of it.

    Returns the deliveries that do it, one an endpoint. Raises Conflict for a disabled endpoint.
    """
    if endpoint is not None:
        _check_enabled(endpoint)
        pairs = [(event_id, endpoint.id)]
    else:
        cursor = await (await raw(session)).execute(_OF_EVENT, [event_id])
        pairs = await cursor.fetchall()
    return await _again(session, pairs, now)


async def replay(
    session: AsyncSession,
    endpoint: WebhookEndpoint,
    since: datetime,
    until: datetime,
    now: datetime,
) -> list[UUID]:
    """Sends all events of [since, until) again that the endpoint hears of, under their own ids.

    Returns the deliveries that do it, one an event. Raises Invalid for a window above 10,000
    events, Conflict when disabled.
    """
    _check_enabled(endpoint)
    if since >= until:
        raise Invalid.of("until", "must be after since")
    cursor = await (await raw(session)).execute(
        _OF_WINDOW, [endpoint.id, since, until, MOST_REPLAYED + 1]
    )
    pairs = await cursor.fetchall()
    if len(pairs) > MOST_REPLAYED:
        raise Invalid.of("until", f"the window holds more than {MOST_REPLAYED:,} events")
    return await _again(session, pairs, now)


def _check_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.status != "enabled":
        raise Conflict("the webhook endpoint is disabled", code="endpoint_disabled")


async def _again(
    session: AsyncSession, pairs: Sequence[tuple[UUID, UUID]], now: datetime
) -> list[UUID]:
    if not pairs:
        return []
    values = {
        "ids": [ids.new() for _ in pairs],
        "events": [pair[0] for pair in pairs],
        "endpoints": [pair[1] for pair in pairs],
        "now": now,
    }
    cursor = await (await raw(session)).execute(_AGAIN, values)
    found = [row[0] for row in await cursor.fetchall()]
    await notify(session, "deliveries")
    return found


def act_json(kind: str, of: str, made: Sequence[UUID], now: datetime) -> dict[str, Any]:
    """Sending again, which is not kept itself: `of` is the id of what is sent, or to whom."""
    return {
        "id": of,
        "object": kind,
        "delivery_ids": [ids.show("dlv", one) for one in made],
        "created_at": clock.show(now),
    }


async def page(
    session: AsyncSession, endpoint_id: UUID, *, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """The API's JSON of an endpoint's deliveries with every attempt, newest first; more?"""
    query = (
        select(Delivery, Event.type)
        .join(Event, Event.id == Delivery.event_id)
        .where(Delivery.endpoint_id == endpoint_id)
    )
    rows = (await session.execute(newest_first(query, Delivery.id, limit, cursor))).all()
    attempts: defaultdict[UUID, list[DeliveryAttempt]] = defaultdict(list)
    for attempt in await session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_([row[0].id for row in rows]))
        .order_by(DeliveryAttempt.attempt)
    ):
        attempts[attempt.delivery_id].append(attempt)
    shown = [_show(delivery, kind, attempts[delivery.id]) for delivery, kind in rows[:limit]]
    return shown, len(rows) > limit


def _show(delivery: Delivery, kind: str, attempts: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    waiting = delivery.status == "pending"
    delivered = delivery.delivered_at
    return {
        "id": ids.show("dlv", delivery.id),
        "object": "webhook_delivery",
        "event": ids.show("evt", delivery.event_id),
        "type": kind,
        "endpoint": ids.show("whe", delivery.endpoint_id),
        "status": delivery.status,
        "next_attempt_at": clock.show(delivery.due_at) if waiting else None,
        "delivered_at": None if delivered is None else clock.show(delivered),
        "attempts": [
            {
                "attempt": attempt.attempt,
                "at": clock.show(attempt.at),
                "duration_ms": attempt.duration_ms,
                "status_code": attempt.status_code,
                "error": attempt.error,
                "response": attempt.response,
            }
            for attempt in attempts
        ],
        "created_at": clock.show(delivery.created_at),
    }


async def event_of(session: AsyncSession, merchant_id: UUID | None, event_id: UUID | None) -> Event:
    """Raises NotFound, also for another merchant's. `merchant_id` None: an operator."""
    event = await session.get(Event, event_id) if event_id else None
    if event is None or (merchant_id is not None and event.merchant_id != merchant_id):
        raise NotFound("no such event")
    return event
