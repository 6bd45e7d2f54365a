"""The journal, its balances and hash chain, and the Breaks. Append-only by trigger and grant."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, Moment, Str, Units


class JournalEntry(Base):
    __tablename__ = "journal_entries"
    __table_args__ = (
        Index("journal_entries_reference", "reference", "id"),
        Index("journal_entries_merchant", "merchant_id", "id"),
    )

    id: Mapped[Id]
    key: Mapped[Str] = mapped_column(unique=True)  # makes it happen once
    kind: Mapped[Str]
    reference: Mapped[Str]  # the TypeID of the fact behind it
    merchant_id: Mapped[UUID | None] = mapped_column(Uuid)
    evidence: Mapped[Json]
    posted_at: Mapped[Moment]


class PostingRow(Base):
    __tablename__ = "postings"
    __table_args__ = (Index("postings_account", "account", "asset", "posted_at"),)

    entry_id: Mapped[UUID] = mapped_column(ForeignKey("journal_entries.id"), primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account: Mapped[Str]
    asset: Mapped[Str]
    amount: Mapped[Units]  # debit positive, base units
    posted_at: Mapped[Moment]


class AccountBalance(Base):
    __tablename__ = "account_balances"

    account: Mapped[Str] = mapped_column(primary_key=True)
    asset: Mapped[Str] = mapped_column(primary_key=True)
    balance: Mapped[Units]  # debit positive


class EntryPending(Base):
    """Committed entries that the sequencer has not numbered yet (filled by trigger)."""

    __tablename__ = "entry_pending"

    entry_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class EntryChain(Base):
    """Gapless numbers and the hash chain over committed entries (MONEY 1)."""

    __tablename__ = "entry_chain"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("journal_entries.id"), unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256(previous hash | content)


class BreakRow(Base):
    """A difference found (API: Reconciliation). The same `key` stands open only once."""

    __tablename__ = "breaks"
    __table_args__ = (
        Index("breaks_once", "key", unique=True, postgresql_where=text("status <> 'resolved'")),
        Index("breaks_run", "run_id", postgresql_where=text("run_id is not null")),
    )

    id: Mapped[Id]
    key: Mapped[Str]
    kind: Mapped[Str]
    place: Mapped[Str]
    asset: Mapped[str | None] = mapped_column(Text)
    expected: Mapped[int | None] = mapped_column(BaseUnits)
    actual: Mapped[int | None] = mapped_column(BaseUnits)
    facts: Mapped[Json] = mapped_column(JSONB)
    status: Mapped[Str]
    owner: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[Moment]
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolution: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[UUID | None] = mapped_column(Uuid)  # the run that found it first
    acknowledged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolved_by: Mapped[str | None] = mapped_column(Text)  # a key's TypeID, or a run's
    entry_id: Mapped[UUID | None] = mapped_column(Uuid)  # what the resolution posted
