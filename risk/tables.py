"""Policies and what they were asked, the address book, and screening."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, JsonList, Moment, Str, Units


class PolicyVersion(Base):
    """A published policy, append-only: the newest one is in force."""

    __tablename__ = "policy_versions"

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(Integer, unique=True)
    document: Mapped[Json]
    author: Mapped[UUID | None] = mapped_column(Uuid)  # the key
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment]


class PolicyDraft(Base):
    """The one draft. `version` grows with every change, so that nobody overwrites unseen."""

    __tablename__ = "policy_drafts"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    document: Mapped[Json]
    author: Mapped[UUID | None] = mapped_column(Uuid)
    updated_at: Mapped[Moment]


class PolicyRequest(Base):
    """What the policy was asked and said: rolling windows and replays read it."""

    __tablename__ = "policy_requests"
    __table_args__ = (
        Index("policy_requests_merchant", "merchant_id", "at"),
        Index("policy_requests_at", "at"),
    )

    reference: Mapped[Str] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    key_id: Mapped[UUID | None] = mapped_column(Uuid)
    initiator: Mapped[Str]
    network: Mapped[Str]
    asset: Mapped[Str]
    address: Mapped[Str]
    amount: Mapped[Units]
    house_value: Mapped[int | None] = mapped_column(BaseUnits)
    known: Mapped[bool] = mapped_column(Boolean)
    group: Mapped[str | None] = mapped_column(Text)
    # an AddressKind of the rules, null where the chain has not said
    address_kind: Mapped[str | None] = mapped_column(Text)
    at: Mapped[Moment]
    effect: Mapped[Str]
    needed: Mapped[int] = mapped_column(SmallInteger)
    rule: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    released: Mapped[bool] = mapped_column(Boolean)  # it did not leave: no window counts it


class AddressBookEntry(Base):
    """A destination that a merchant knows. Removed ones stay as history."""

    __tablename__ = "address_book"
    __table_args__ = (
        Index(
            "address_book_live",
            "merchant_id",
            "address",
            "network",
            unique=True,
            postgresql_where=text("removed_at is null"),
        ),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    network: Mapped[Str]  # "" for every network
    address: Mapped[Str]
    label: Mapped[Str]
    group: Mapped[str | None] = mapped_column(Text)
    author: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[Moment]
    usable_at: Mapped[Moment]  # the end of its cooling
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    removed_by: Mapped[UUID | None] = mapped_column(Uuid)


class ScreeningList(Base):
    """A list of addresses that was loaded from a file, whole."""

    __tablename__ = "screening_lists"

    name: Mapped[Str] = mapped_column(primary_key=True)
    kind: Mapped[Str]  # sanctions, mixer
    source: Mapped[Str]  # the file's name
    digest: Mapped[Str]  # SHA-256 of the file
    entries: Mapped[int] = mapped_column(Integer)
    loaded_at: Mapped[Moment]


class ScreeningAddress(Base):
    """An address on a list, and what the list says of it."""

    __tablename__ = "screening_addresses"
    __table_args__ = (Index("screening_addresses_address", "address"),)

    list: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    facts: Mapped[Json]  # uid, name, programs, currencies


class ScreeningAnswer(Base):
    """What a source outside said of an address, believed until it expires."""

    __tablename__ = "screening_answers"

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    source: Mapped[Str] = mapped_column(primary_key=True)  # oracle, provider
    verdict: Mapped[Str]
    evidence: Mapped[Json]
    asked_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class Screening(Base):
    """A deposit's source or a payout's destination, and whether its money may move.

    pending: some source has not answered, and the verdict is hold until it does; rows that are
    due are the worker's queue. done: the verdict stands; a hold waits for a person.
    """

    __tablename__ = "screenings"
    __table_args__ = (
        UniqueConstraint("subject", "subject_id", name="screenings_subject"),
        Index("screenings_address", "address", "id"),
        Index("screenings_merchant", "merchant_id", "created_at"),
        Index("screenings_due", "due_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[Id]
    subject: Mapped[Str]  # deposit, payout
    subject_id: Mapped[UUID] = mapped_column(Uuid)
    merchant_id: Mapped[UUID | None] = mapped_column(Uuid)
    network: Mapped[Str]
    address: Mapped[Str]
    asset: Mapped[str | None] = mapped_column(Text)
    house_value: Mapped[int | None] = mapped_column(BaseUnits)
    status: Mapped[Str]  # pending, done
    verdict: Mapped[Str]  # accept, hold, reject
    score: Mapped[int | None] = mapped_column(SmallInteger)
    reasons: Mapped[JsonList]  # [{code, source, detail}]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[Moment]
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[UUID | None] = mapped_column(Uuid)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decision_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
