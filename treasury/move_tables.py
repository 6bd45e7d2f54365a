"""Moves between places of ours, and the addresses where venues take what we send."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Index, Integer, Text, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class Move(Base):
    """Money that changes its place. `status` and `reason` are move_machine.judge of the rest.

    `amount` in the asset's base units: what leaves the source. `booked` and `booked_fee` are what
    the books have of the venue's side, in its units of 10**-18 (of a withdrawal what arrives, and
    what it costs besides); `blocked` what of its funds is not free. `shown`: what the
    venue has of it that may be it, and is another amount than left a bank (base units). `lost`:
    what of it a person has written off (base units; below zero what arrived and never left). Times
    are wall time but `created_at` and `finished_at`.
    """

    __tablename__ = "moves"
    __table_args__ = (
        Index("moves_due", "due_at", postgresql_where=text("due_at is not null")),
        Index("moves_blocking", "venue", postgresql_where=text("blocked > 0")),
        Index("moves_venue", "venue", "venue_id"),
        # What keeps the hot wallet full or light is proposed once at a time.
        Index(
            "moves_policy",
            "network",
            "asset",
            unique=True,
            postgresql_where=text("trigger = 'policy' and status not in ('done', 'failed')"),
        ),
    )

    id: Mapped[Id]
    way: Mapped[Str]  # move_machine.Way
    asset: Mapped[Str]
    amount: Mapped[Units]
    network: Mapped[str | None] = mapped_column(Text)  # None: fiat
    source: Mapped[Str]  # treasury, hot, or a venue
    destination: Mapped[Str]  # treasury, hot, a venue, or bank:<id>
    venue: Mapped[str | None] = mapped_column(Text)  # the one of both that is a venue
    status: Mapped[Str]
    reason: Mapped[str | None] = mapped_column(Text)
    trigger: Mapped[Str]  # command, policy
    initiator: Mapped[Str]  # key_..., or "" for a policy
    address: Mapped[str | None] = mapped_column(Text)  # where to, lower-case 0x hex
    sender: Mapped[str | None] = mapped_column(Text)  # whose transaction it is
    signs: Mapped[bool] = mapped_column(Boolean)  # the sender's key is our signer's
    checked: Mapped[bool] = mapped_column(Boolean)
    short: Mapped[bool] = mapped_column(Boolean)
    cancelled: Mapped[bool] = mapped_column(Boolean)
    refused: Mapped[str | None] = mapped_column(Text)
    transaction_id: Mapped[UUID | None] = mapped_column(Uuid)
    tx_hash: Mapped[str | None] = mapped_column(Text)  # of what carried it, ours or the venue's
    sends: Mapped[int] = mapped_column(Integer)
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    unknown_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    absent: Mapped[int] = mapped_column(Integer)
    absent_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    absent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    written_off: Mapped[bool] = mapped_column(Boolean)
    venue_id: Mapped[str | None] = mapped_column(Text)  # of its deposit or withdrawal
    venue_status: Mapped[str | None] = mapped_column(Text)
    booked: Mapped[Units]
    booked_fee: Mapped[Units]
    bookings: Mapped[int] = mapped_column(Integer)  # entries of the venue's side
    blocked: Mapped[Units]
    shown: Mapped[int | None] = mapped_column(BaseUnits)
    lost: Mapped[Units]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[Moment]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class VenueAddress(Base):
    """Where a venue takes an asset on a network, by its own answer. One that is `held` takes
    nothing from us before a person has allowed it."""

    __tablename__ = "venue_addresses"
    __table_args__ = (
        UniqueConstraint("venue", "asset", "network", "address", name="venue_address"),
    )

    id: Mapped[Id]
    venue: Mapped[Str]
    asset: Mapped[Str]
    network: Mapped[Str]
    address: Mapped[Str]  # lower-case 0x hex
    status: Mapped[Str]  # held, allowed
    seen_at: Mapped[Moment]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[str | None] = mapped_column(Text)  # key_..., None: by the setting
