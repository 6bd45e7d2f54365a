"""Endpoints: where a merchant wants to be told, of what, and under which secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.context import Context
from core.errors import Invalid, NotFound
from core.pages import page_of
from merchants.merchants import new_webhook_secret
from merchants.tables import Merchant
from webhooks.events import NewEvent, emit
from webhooks.tables import Delivery, WebhookEndpoint
from webhooks.types import exists
from webhooks.urls import check

OVERLAP = timedelta(hours=24)  # how long the secret before a rotation signs too
MOST_PATTERNS = 100
_PATTERN = re.compile(r"\*|[a-z][a-z_]*\.(\*|[a-z][a-z_]*)", re.ASCII)
BY_MERCHANT = "disabled by the merchant"


def show(endpoint: WebhookEndpoint, secret: str | None = None) -> dict[str, Any]:
    """The API's JSON; `secret` only in the one answer that made it."""
    shown: dict[str, Any] = {
        "id": ids.show("whe", endpoint.id),
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "per_invoice": endpoint.per_invoice,
        "created_at": clock.show(endpoint.created_at),
    }
    return shown if secret is None else {**shown, "secret": secret}


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    *,
    url: str,
    events: Sequence[str] = ("*",),
    description: str | None = None,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is readable this once. Raises Invalid."""
    check(url, context.sandbox)
    endpoint_id, secret = ids.new(), new_webhook_secret()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        merchant_id=merchant_id,
        url=url,
        events=patterns(events),
        description=description,
        per_invoice=False,
        status="enabled",
        secret=context.secrets.seal(secret.encode(), f"webhook_endpoints.secret:{endpoint_id}"),
        created_at=now,
    )
    session.add(endpoint)
    await session.flush()
    return endpoint, secret


async def for_url(
    session: AsyncSession, context: Context, merchant_id: UUID, url: str, now: datetime
) -> UUID:
    """The endpoint of an invoice's `webhook_url`: one with that URL, or a new one that hears of
    such invoices only, under the merchant's own secret. Raises Invalid.

    Naming the URL again enables what had been disabled.
    """
    try:
        check(url, context.sandbox)
    except Invalid as error:  # under the name that the field has in an invoice
        raise Invalid.of("webhook_url", error.errors[0].message) from None
    found = await session.scalar(
        select(WebhookEndpoint)
        .where(
            WebhookEndpoint.merchant_id == merchant_id,
            WebhookEndpoint.url == url,
            WebhookEndpoint.status != "deleted",
            WebhookEndpoint.per_invoice | (WebhookEndpoint.status == "enabled"),
        )
        .order_by(WebhookEndpoint.per_invoice, WebhookEndpoint.id)
        .limit(1)
    )
    if found is None:
        found = WebhookEndpoint(
            id=ids.new(),
            merchant_id=merchant_id,
            url=url,
            events=["*"],
            per_invoice=True,
            status="enabled",
            created_at=now,
        )
        session.add(found)
    elif found.status == "disabled":
        found.status, found.disabled_reason = "enabled", None
    await session.flush()
    return found.id


def patterns(events: Sequence[str]) -> list[str]:
    """`*`, `invoice.*` or `invoice.settled`, each once. Raises Invalid."""
    if not 1 <= len(events) <= MOST_PATTERNS:
        raise Invalid.of("events", f"must name 1 to {MOST_PATTERNS} types or patterns")
    for index, pattern in enumerate(events):
        if not _PATTERN.fullmatch(pattern) or len(pattern) > 64:
            raise Invalid.of(f"events.{index}", "must be *, a type or a pattern like invoice.*")
        if not exists(pattern):
            raise Invalid.of(f"events.{index}", f"there are no events {pattern}")
    return list(dict.fromkeys(events))


def _owned(merchant_id: UUID | None) -> ColumnElement[bool]:
    """What this caller may see: its own, or all for an operator (None)."""
    standing = WebhookEndpoint.status != "deleted"
    return (
        standing
        if merchant_id is None
        else and_(standing, WebhookEndpoint.merchant_id == merchant_id)
    )


async def find(
    session: AsyncSession, merchant_id: UUID | None, endpoint_id: UUID | None, *, lock: bool = False
) -> WebhookEndpoint:
    """Raises NotFound, also for another merchant's. `merchant_id` None: an operator."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, _owned(merchant_id))
    endpoint = await session.scalar(query.with_for_update() if lock else query)
    if endpoint is None:
        raise NotFound("no such webhook endpoint")
    return endpoint


async def page(
    session: AsyncSession, merchant_id: UUID | None, *, limit: int, cursor: UUID | None
) -> tuple[list[WebhookEndpoint], bool]:
    """Newest first, and whether there are more."""
    return await page_of(session, WebhookEndpoint, limit, cursor, _owned(merchant_id))


async def change(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    endpoint_id: UUID | None,
    changes: dict[str, Any],
) -> WebhookEndpoint:
    """Sets `url`, `events`, `description` or `status` (enabled, disabled).

    Disabling ends the deliveries that wait; enabling starts with what happens from then on.
    Raises Invalid, NotFound.
    """
    endpoint = await find(session, merchant_id, endpoint_id, lock=True)
    if "url" in changes:
        check(changes["url"], context.sandbox)
        endpoint.url = changes["url"]
    if "events" in changes:
        endpoint.events = patterns(changes["events"])
    if "description" in changes:
        endpoint.description = changes["description"]
    status = changes.get("status", endpoint.status)
    if status != endpoint.status:
        endpoint.status = status
        endpoint.disabled_reason = BY_MERCHANT if status == "disabled" else None
        if status == "disabled":
            await _end_deliveries(session, endpoint.id)
    await session.flush()
    return endpoint


async def delete(
    session: AsyncSession, merchant_id: UUID | None, endpoint_id: UUID | None
) -> WebhookEndpoint:
    """The endpoint is gone for everybody; its deliveries stay on record. Raises NotFound."""
    endpoint = await find(session, merchant_id, endpoint_id, lock=True)
    endpoint.status = "deleted"
    await _end_deliveries(session, endpoint.id)
    await session.flush()
    return endpoint


async def disable(session: AsyncSession, endpoint_id: UUID, reason: str, now: datetime) -> None:
    """The endpoint is dead: nothing more is sent, and the merchant's other endpoints hear of it."""
    endpoint = await session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    if endpoint is None or endpoint.status != "enabled":
        return
    endpoint.status, endpoint.disabled_reason = "disabled", reason
    await session.flush()
    await _end_deliveries(session, endpoint_id)
    subject = ids.show("whe", endpoint_id)
    disabled = NewEvent(endpoint.merchant_id, "webhook_endpoint.disabled", subject, show(endpoint))
    await emit(session, [disabled], now)


async def _end_deliveries(session: AsyncSession, endpoint_id: UUID) -> None:
    await session.execute(
        update(Delivery)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.status == "pending")
        .values(status="disabled", leased_until=None)
    )


async def rotate(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    endpoint_id: UUID | None,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """A new secret; the old one signs beside it for 24 h. Raises NotFound.

    An endpoint that signed with the merchant's own secret gets one of its own by this.
    """
    endpoint = await find(session, merchant_id, endpoint_id, lock=True)
    place = f"webhook_endpoints.secret:{endpoint.id}"
    if endpoint.secret is not None:
        old = context.secrets.open(endpoint.secret, place)
    else:
        merchant = await session.get_one(Merchant, endpoint.merchant_id)
        old = context.secrets.open(
            merchant.webhook_secret, f"merchants.webhook_secret:{merchant.id}"
        )
    secret = new_webhook_secret()
    endpoint.secret = context.secrets.seal(secret.encode(), place)
    endpoint.old_secret = context.secrets.seal(old, f"webhook_endpoints.old_secret:{endpoint.id}")
    endpoint.old_secret_until = now + OVERLAP
    await session.flush()
    return endpoint, secret
