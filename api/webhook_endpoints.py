"""/v1/webhook_endpoints: where a merchant is told, under which secret, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BeforeValidator, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import merchant_of, require
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from webhooks import deliveries, endpoints

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["Webhook endpoints"])

Reader = Annotated[Principal, require("webhooks:read")]
Writer = Annotated[Principal, require("webhooks:write")]

Url = Annotated[
    str, Field(min_length=1, max_length=2048, examples=["https://shop.example/webhooks"])
]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]],
    Field(min_length=1, max_length=100, examples=[["*"], ["invoice.*", "deposit.confirmed"]]),
]
Moment = Annotated[datetime, BeforeValidator(queries.read_time)]


class NewEndpoint(schemas.Body):
    url: Url
    events: Patterns = Field(default_factory=lambda: ["*"])
    description: schemas.Description | None = None


class EndpointChanges(schemas.Body):
    """What is left out stays as it is; the defaults here are never used."""

    url: Url = ""
    events: Patterns = Field(default_factory=list)
    description: schemas.Description | None = None
    status: Literal["enabled", "disabled"] = "enabled"


class Window(schemas.Body):
    """Events made in [since, until)."""

    since: Moment
    until: Moment


class Endpoint(schemas.Shown):
    """`per_invoice`: made by an invoice's `webhook_url`, hears of those invoices only."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    events: list[str]
    description: str | None
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    per_invoice: bool
    created_at: schemas.Time


class NewlyMadeEndpoint(Endpoint):
    """`secret` is shown this once."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class Gone(schemas.Shown):
    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class Delivery(schemas.Shown):
    """One event for one endpoint, with every attempt."""

    id: str
    object: Literal["webhook_delivery"]
    event: str
    type: str
    endpoint: str
    status: Literal["pending", "delivered", "failed", "disabled"]
    next_attempt_at: schemas.Time | None
    delivered_at: schemas.Time | None
    attempts: list[dict[str, Any]]
    created_at: schemas.Time


class Replay(schemas.Shown):
    """An act, not kept: its id is the endpoint's. `events` are sent again, each by one of
    `delivery_ids`."""

    id: str
    object: Literal["webhook_replay"]
    endpoint: str
    events: int
    delivery_ids: list[str]
    created_at: schemas.Time


@router.post("", status_code=201, response_model=NewlyMadeEndpoint)
async def create(body: NewEndpoint, request: Request, caller: Writer) -> Response:
    """The answer carries the secret; it cannot be read again, only rotated."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        endpoint, secret = await endpoints.create(
            session,
            context,
            merchant_id,
            url=body.url,
            events=body.events,
            description=body.description,
            now=context.clock.now(),
        )
        return 201, endpoints.show(endpoint, secret)

    return await once(request, caller, do, secret=True)


@router.get("", response_model=schemas.Page[Endpoint])
async def list_all(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows, more = await endpoints.page(
            session, caller.merchant_id, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json([endpoints.show(row) for row in rows], more)


@router.get("/{endpoint}", response_model=Endpoint)
async def show(endpoint: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await endpoints.find(session, caller.merchant_id, ids.read("whe", endpoint))
    return paging.json(endpoints.show(found))


@router.patch("/{endpoint}", response_model=Endpoint)
async def update(
    endpoint: str, body: EndpointChanges, request: Request, caller: Writer
) -> Response:
    """Disabling ends the deliveries that wait; enabling starts with what happens from then on."""
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        changed = await endpoints.change(
            session,
            context,
            caller.merchant_id,
            ids.read("whe", endpoint),
            body.model_dump(exclude_unset=True),
        )
    return paging.json(endpoints.show(changed))


@router.delete("/{endpoint}", response_model=Gone)
async def delete(endpoint: str, request: Request, caller: Writer) -> Response:
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        gone = await endpoints.delete(session, caller.merchant_id, ids.read("whe", endpoint))
    return paging.json(
        {"id": ids.show("whe", gone.id), "object": "webhook_endpoint", "deleted": True}
    )


@router.post("/{endpoint}/rotate", response_model=NewlyMadeEndpoint)
async def rotate(endpoint: str, request: Request, caller: Writer) -> Response:
    """A new secret. For 24 h every delivery carries both signatures."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        rotated, secret = await endpoints.rotate(
            session, context, caller.merchant_id, ids.read("whe", endpoint), context.clock.now()
        )
        return 200, endpoints.show(rotated, secret)

    return await once(request, caller, do, secret=True)


@router.get("/{endpoint}/deliveries", response_model=schemas.Page[Delivery])
async def list_deliveries(
    endpoint: str, request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await endpoints.find(session, caller.merchant_id, ids.read("whe", endpoint))
        data, more = await deliveries.page(session, found.id, limit=page.limit, cursor=page.cursor)
    return paging.list_json(data, more)


@router.post("/{endpoint}/replay", status_code=202, response_model=Replay)
async def replay(endpoint: str, body: Window, request: Request, caller: Writer) -> Response:
    """Sends what the endpoint hears of and happened in [since, until) again, under the same ids."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        found = await endpoints.find(session, caller.merchant_id, ids.read("whe", endpoint))
        now = context.clock.now()
        made = await deliveries.replay(session, found, body.since, body.until, now)
        act = deliveries.act_json("webhook_replay", ids.show("whe", found.id), made, now)
        return 202, {**act, "endpoint": act["id"], "events": len(made)}

    return await once(request, caller, do)
