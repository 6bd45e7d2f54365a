"""Events, the endpoints that want them, and every attempt to deliver them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Moment, Str


class Event(Base):
    """What happened, as it is told. `body` is the exact webhook body, rendered once.

    `merchant_id` is null for the house's own events; `subject` is the TypeID of the object.
    """

    __tablename__ = "events"
    __table_args__ = (Index("events_subject", "subject", "id"),)

    id: Mapped[Id]
    merchant_id: Mapped[UUID | None] = mapped_column(Uuid)
    type: Mapped[Str]
    subject: Mapped[Str]
    body: Mapped[Str]
    created_at: Mapped[Moment]


class EventPending(Base):
    """Committed events that the sequencer has not numbered yet (filled by trigger)."""

    __tablename__ = "event_pending"

    event_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class EventSeq(Base):
    """Gapless numbers of committed events: the feed's order, for everybody who reads it."""

    __tablename__ = "event_seq"
    __table_args__ = (Index("event_seq_merchant", "merchant_id", "seq"),)

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id"), unique=True)
    merchant_id: Mapped[UUID | None] = mapped_column(Uuid)
    type: Mapped[Str]


class WebhookEndpoint(Base):
    """`per_invoice`: made by an invoice's `webhook_url`, hears of those invoices only."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("webhook_endpoints_merchant", "merchant_id", "url"),)

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    url: Mapped[Str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str | None] = mapped_column(Text)
    per_invoice: Mapped[bool]
    status: Mapped[Str]  # enabled, disabled, deleted
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)  # sealed; null: the merchant's own
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[Moment]


class Delivery(Base):
    """One event for one endpoint: a row that is due until it is finished."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # By endpoint first: a claim walks from endpoint to endpoint, however much waits at one.
        Index(
            "deliveries_due",
            "endpoint_id",
            "due_at",
            "event_id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("deliveries_endpoint", "endpoint_id", "id"),
        Index("deliveries_event", "event_id"),
    )

    id: Mapped[Id]
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id"))
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id"))
    status: Mapped[Str]  # pending, delivered, failed, disabled
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[Moment]  # the domain's time
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # wall time
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[Moment]


class DeliveryAttempt(Base):
    __tablename__ = "delivery_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("deliveries.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[Moment]
    duration_ms: Mapped[int] = mapped_column(Integer)
    status_code: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)  # the first 1,000 characters
