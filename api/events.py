"""/v1/events: the feed, complete and in order; as a stream; and sending one again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from sse_starlette import EventSourceResponse, ServerSentEvent

from api import paging, queries, schemas
from api.auth import require
from api.idempotency import once
from core import ids
from core.context import Context
from core.errors import Invalid, NotFound, TooMany
from merchants.keys import Principal
from webhooks import deliveries, endpoints, feed

router = APIRouter(prefix="/v1/events", tags=["Events"])

Reader = Annotated[Principal, require("events:read")]
Writer = Annotated[Principal, require("webhooks:write")]

HEARTBEAT_SECONDS = 15
SEND_TIMEOUT_SECONDS = 30  # a reader that takes nothing for so long is cut off; it can resume
STREAMS_PER_KEY = 20
_LARGEST = 2**63 - 1

Kind = Annotated[
    str | None,
    Query(
        alias="type",
        pattern=r"^(\*|[a-z][a-z_]{0,30}\.(\*|[a-z][a-z_]{0,30}))$",
        description="A type, or a pattern like `invoice.*`.",
    ),
]
Position = Annotated[
    str | None, Query(max_length=20, description="`next_cursor`, or the id of a stream's event.")
]
LastEventId = Annotated[str | None, Header(max_length=20)]

_STREAM: dict[str, Any] = {
    "description": "Events as they happen, until the reader hangs up.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": "id: 42\nevent: invoice.settled\n"
            'data: {"id":"evt_...","type":"invoice.settled","timestamp":"...","data":{}}\n\n',
        }
    },
}

_open_streams: Counter[UUID] = Counter()  # by key, in this process


class Event(schemas.Shown):
    """What a webhook's body holds, and what every object has."""

    id: str
    object: Literal["event"]
    type: str
    timestamp: schemas.Time
    data: dict[str, Any]
    created_at: schemas.Time


class Feed(schemas.Page[Event]):
    """Oldest first. `next_cursor` is always there: ask with it again later for what is new."""

    next_cursor: str


class Redelivery(schemas.Body):
    """`endpoint` left out: all endpoints that hear of the event."""

    endpoint: Annotated[str, Field(max_length=64)] | None = None


class Redelivered(schemas.Shown):
    """An act, not kept: its id is the event's. `delivery_ids`: what carries the event now."""

    id: str
    object: Literal["webhook_redelivery"]
    event: str
    deliveries: int
    delivery_ids: list[str]
    created_at: schemas.Time


@router.get("", response_model=Feed)
async def list_all(
    request: Request,
    caller: Reader,
    kind: Kind = None,
    limit: paging.Limit = 20,
    cursor: Position = None,
) -> Response:
    """Events in the order of their numbers, oldest first, complete.

    Unlike other lists this one is followed: without `cursor` it starts at the beginning, and
    `next_cursor` is always given, also on the last page. Whoever asks again with it misses nothing
    and gets nothing twice. An operator's feed has all events.

    `GET /v1/events/stream` is the same feed as server-sent events: `id` is the cursor, `event` the
    type, `data` the webhook's body. It starts after `Last-Event-ID` or `cursor`, else now.
    """
    context: Context = request.app.state.context
    after = _position("cursor", cursor) or 0
    async with context.database.read() as session:
        told = await feed.page(session, caller.merchant_id, kind, after=after, limit=limit + 1)
    page = told[:limit]
    return paging.json(
        {
            "object": "list",
            "data": [_show(event.body) for event in page],
            "has_more": len(told) > limit,
            "next_cursor": str(page[-1].seq if page else after),
        }
    )


@router.get("/stream", response_class=EventSourceResponse, responses={200: _STREAM})
async def stream(
    request: Request,
    caller: Reader,
    kind: Kind = None,
    cursor: Position = None,
    last_event_id: LastEventId = None,
) -> EventSourceResponse:
    """Server-sent events: `id` is the cursor, `event` the type, `data` the webhook's body.

    Starts after `Last-Event-ID` or `cursor` (0: the beginning), else with what happens from now
    on. A comment every 15 s shows that the line stands: the answer has no end. A key may hold 20
    of them open; one that takes nothing for 30 s is cut off, and can resume.
    """
    context: Context = request.app.state.context
    after = _position("Last-Event-ID", last_event_id)
    if after is None:
        after = _position("cursor", cursor)
    if after is None:
        async with context.database.read() as session:
            after = await feed.last(session)
    if _open_streams[caller.key_id] >= STREAMS_PER_KEY:
        raise TooMany(
            f"a key may hold {STREAMS_PER_KEY} streams open",
            headers={"Retry-After": str(HEARTBEAT_SECONDS)},
        )
    return EventSourceResponse(
        _stream(context, caller, kind, after),
        ping=HEARTBEAT_SECONDS,
        send_timeout=SEND_TIMEOUT_SECONDS,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _stream(
    context: Context, caller: Principal, kind: str | None, after: int
) -> AsyncIterator[ServerSentEvent]:
    _open_streams[caller.key_id] += 1
    try:
        async for event in feed.follow(context, caller.merchant_id, kind, after=after):
            yield ServerSentEvent(event.body, event=event.type, id=str(event.seq))
    finally:
        _open_streams[caller.key_id] -= 1


@router.get("/{event}", response_model=Event)
async def show(event: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await deliveries.event_of(session, caller.merchant_id, ids.read("evt", event))
    return paging.json(_show(found.body))


@router.post("/{event}/redeliver", status_code=202, response_model=Redelivered)
async def redeliver(
    event: str, request: Request, caller: Writer, body: Redelivery | None = None
) -> Response:
    """Sends the event again now, under its own id, to one endpoint or to all that hear of it."""
    context: Context = request.app.state.context
    wanted = None if body is None else queries.read_id("endpoint", "whe", body.endpoint)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        found = await deliveries.event_of(session, caller.merchant_id, ids.read("evt", event))
        endpoint = None
        if wanted is not None:
            if found.merchant_id is None:  # the house's own are told to nobody
                raise NotFound("no such webhook endpoint")
            endpoint = await endpoints.find(session, found.merchant_id, wanted)
        now = context.clock.now()
        made = await deliveries.redeliver(session, found.id, endpoint, now)
        act = deliveries.act_json("webhook_redelivery", ids.show("evt", found.id), made, now)
        return 202, {**act, "event": act["id"], "deliveries": len(made)}

    return await once(request, caller, do)


def _position(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
        raise Invalid.of(field, "is not a cursor of this feed", code="invalid_cursor")
    return int(text)


def _show(body: str) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(body)
    return {
        "id": told["id"],
        "object": "event",
        "type": told["type"],
        "timestamp": told["timestamp"],
        "data": told["data"],
        "created_at": told["timestamp"],
    }
