"""Conversions, the orders that carry them out, and what venues executed of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, DateTime, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, Moment, Str, Units


class Conversion(Base):
    """A quote carried out. `status`, `reason` and the sums are conversion_machine.judge of its
    orders, in units of 10**-18; `against_quote` {asset: units} is what stands in
    `income:slippage` for it. Times are wall time but `created_at` and `finished_at`."""

    __tablename__ = "conversions"

    id: Mapped[Id]
    quote_id: Mapped[UUID] = mapped_column(unique=True)  # a quote is used once
    status: Mapped[Str]
    reason: Mapped[str | None] = mapped_column(Text)  # why it did not bring all of it
    from_asset: Mapped[Str]
    to_asset: Mapped[Str]
    plan: Mapped[Json]  # plan.dump
    given: Mapped[Units]  # of from_asset, with fees
    got: Mapped[Units]  # of to_asset, less fees
    against_quote: Mapped[Json]
    initiator: Mapped[Str]  # key_..., or a rule's id
    valid_until: Mapped[Moment]  # how long the quote's prices stand
    created_at: Mapped[Moment]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Order(Base):
    """One order at a venue, LIMIT IOC. `status` is order_machine.decide of the other columns.

    Quantities in units of 10**-18. `venue_*` is what the venue says of it, `booked` what its fills
    in the books sum to. All times are wall time: a venue's.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("venue", "client_id", name="orders_client_id"),
        UniqueConstraint("conversion_id", "path", "step", "attempt", name="orders_place"),
        Index("orders_due", "due_at", postgresql_where=text("due_at is not null")),
        Index(
            "orders_blocking",
            "venue",
            postgresql_where=text("blocked > 0 or held > 0"),
        ),
        Index("orders_venue_id", "venue", "venue_id"),
    )

    id: Mapped[Id]
    conversion_id: Mapped[UUID] = mapped_column(ForeignKey("conversions.id"))
    path: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)  # 0, 1 as planned; 2: the way back
    attempt: Mapped[int] = mapped_column(Integer)
    venue: Mapped[Str]
    symbol: Mapped[Str]
    side: Mapped[Str]
    quantity: Mapped[Units]
    limit_price: Mapped[Units]
    from_asset: Mapped[Str]
    to_asset: Mapped[Str]
    client_id: Mapped[Str]
    created_at: Mapped[Moment]
    send_until: Mapped[Moment]  # not sent by then: never

    status: Mapped[Str]
    reason: Mapped[str | None] = mapped_column(Text)
    sends: Mapped[int] = mapped_column(Integer)  # how often it left, as far as we know
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # first, before it
    refused: Mapped[bool] = mapped_column(Boolean)  # the venue's own word
    unknown_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    absent: Mapped[int] = mapped_column(Integer)  # times in a row that the venue showed none
    absent_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    absent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # a Break was opened
    written_off: Mapped[bool] = mapped_column(Boolean)  # a person resolved that Break
    dead: Mapped[bool] = mapped_column(Boolean)  # believed not to be there: nothing follows it
    venue_id: Mapped[str | None] = mapped_column(Text)
    venue_status: Mapped[str | None] = mapped_column(Text)
    venue_filled: Mapped[Units]
    differs: Mapped[str | None] = mapped_column(Text)  # how the venue's order is not the one sent
    booked: Mapped[Units]  # base
    booked_quote: Mapped[Units]
    given: Mapped[Units]  # of from_asset, with fees
    got: Mapped[Units]  # of to_asset, less fees
    fees: Mapped[Json] = mapped_column(JSONB)  # {asset: units}, by what the venue took them in
    blocked: Mapped[Units]  # of from_asset, what it may still take
    held: Mapped[Units]  # of to_asset, brought for the next step and not yet ordered on
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(Integer)  # grows with each write: steps fence by it
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class FillRow(Base):
    """An execution in the books, once. Append-only by trigger. `order_id` null: not ours."""

    __tablename__ = "fills"
    __table_args__ = (
        Index("fills_order", "order_id"),
        Index("fills_venue_order", "venue", "venue_order_id"),
        Index("fills_at", "venue", "at"),
    )

    venue: Mapped[Str] = mapped_column(primary_key=True)
    symbol: Mapped[Str] = mapped_column(primary_key=True)
    fill_id: Mapped[Str] = mapped_column(primary_key=True)
    venue_order_id: Mapped[Str]
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    side: Mapped[Str]
    price: Mapped[int] = mapped_column(BaseUnits)
    quantity: Mapped[Units]
    quote_quantity: Mapped[Units]
    fee: Mapped[Units]
    fee_asset: Mapped[Str]
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("journal_entries.id"))
    at: Mapped[Moment]  # the venue's
    booked_at: Mapped[Moment]
