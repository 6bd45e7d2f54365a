"""Runs, when the next one is due, and how far the ones before have proved things."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, Integer, SmallInteger, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Json, JsonList, Moment, Str


class ReconciliationRun(Base):
    """One look at everything in its scope. The row is the queue: `due_at` is null once it ended."""

    __tablename__ = "reconciliation_runs"
    __table_args__ = (
        Index("reconciliation_runs_due", "due_at", postgresql_where=text("due_at is not null")),
    )

    id: Mapped[Id]
    scope: Mapped[Str]
    status: Mapped[Str]  # running, clean, breaks, failed
    trigger: Mapped[Str]  # command, schedule
    initiator: Mapped[Str]  # the key's TypeID, or what began it
    blocks: Mapped[JsonList]  # [{network, number, hash}]
    venues: Mapped[JsonList]  # [{venue, as_of}]
    compared: Mapped[int] = mapped_column(BigInteger)
    facts: Mapped[Json]  # by comparison: how many, how many differ; what could not be read
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[Moment]
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ReconciliationSchedule(Base):
    """One row: when the next run begins by itself."""

    __tablename__ = "reconciliation_schedule"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    due_at: Mapped[Moment]


class ReconciliationMark(Base):
    """Up to where something is proved (`ledger`: seq and hash; `blocks:<network>`: number and
    hash; `venue:<name>`: the time that its items were read to). What lies behind is looked at by
    runs on command. `blocks:<network>:first` is the lowest block that was ever stored."""

    __tablename__ = "reconciliation_marks"

    name: Mapped[Str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[Str]
    at: Mapped[Moment]


class RunAddress(Base):
    """The books' deposit addresses as they stood at a run's block: read in pages while the node is
    asked, with no transaction open. Gone with the run; unlogged, for a crash only costs the run."""

    __tablename__ = "reconciliation_addresses"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    run_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    network: Mapped[Str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    address: Mapped[Str]
    held: Mapped[dict[str, Any] | None] = mapped_column(JSONB)  # asset -> base units as text
