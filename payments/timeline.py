"""Every claim about an invoice with its evidence: events, journal entries, webhook attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import show as show_time
from core.context import Context
from core.ids import show as show_id
from ledger.tables import JournalEntry, PostingRow
from payments.invoices import find
from payments.tables import Deposit
from webhooks.tables import Delivery, DeliveryAttempt, Event, WebhookEndpoint


async def timeline(
    session: AsyncSession, context: Context, merchant_id: UUID | None, invoice_id: UUID | None
) -> list[dict[str, Any]]:
    """Oldest first; `kind` is event, entry or delivery. Raises NotFound.

    Deliveries have wall time, which a sandbox's clock runs ahead of; none is before its event.
    """
    invoice = await find(session, invoice_id, merchant_id)
    deposits = await session.scalars(select(Deposit.id).where(Deposit.invoice_id == invoice.id))
    subjects = [show_id("dep", deposit) for deposit in deposits]
    told = await _events(session, [show_id("inv", invoice.id), *subjects])
    lines = told + await _entries(session, context, subjects)
    lines += await _attempts(session, {line["event_id"]: line["at"] for line in told})
    lines.sort(key=lambda line: line["at"])
    for line in lines:
        line.pop("event_id", None)
        line["at"] = show_time(line["at"])
    return lines


async def _events(session: AsyncSession, subjects: list[str]) -> list[dict[str, Any]]:
    rows = await session.scalars(
        select(Event).where(Event.subject.in_(subjects)).order_by(Event.id)
    )
    return [
        {
            "at": row.created_at,
            "kind": "event",
            "id": show_id("evt", row.id),
            "type": row.type,
            "subject": row.subject,
            "event_id": row.id,
        }
        for row in rows
    ]


async def _entries(
    session: AsyncSession, context: Context, references: list[str]
) -> list[dict[str, Any]]:
    rows = await session.execute(
        select(JournalEntry, PostingRow)
        .join(PostingRow, PostingRow.entry_id == JournalEntry.id)
        .where(JournalEntry.reference.in_(references))
        .order_by(JournalEntry.id, PostingRow.n)
    )
    shown: dict[UUID, dict[str, Any]] = {}
    for entry, posting in rows:
        line = shown.setdefault(
            entry.id,
            {
                "at": entry.posted_at,
                "kind": "entry",
                "id": show_id("je", entry.id),
                "type": entry.kind,
                "subject": entry.reference,
                "evidence": entry.evidence,
                "postings": [],
            },
        )
        asset = context.catalog.asset(posting.asset)
        amount = asset.format(posting.amount) if asset else str(posting.amount)
        line["postings"].append(
            {"account": posting.account, "asset": posting.asset, "amount": amount}
        )
    return list(shown.values())


async def _attempts(session: AsyncSession, events: dict[UUID, datetime]) -> list[dict[str, Any]]:
    """`events`: when each was made."""
    rows = await session.execute(
        select(DeliveryAttempt, Delivery.event_id, WebhookEndpoint.url)
        .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Delivery.event_id.in_(events))
        .order_by(DeliveryAttempt.at)
    )
    return [
        {
            "at": max(attempt.at, events[event_id]),
            "kind": "delivery",
            "id": show_id("dlv", attempt.delivery_id),
            "type": "webhook",
            "subject": show_id("evt", event_id),
            "url": url,
            "attempt": attempt.attempt,
            "status_code": attempt.status_code,
            "error": attempt.error,
        }
        for attempt, event_id, url in rows
    ]
