"""Sweeps, what each is to empty, and what the factory's events say of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, JsonList, Moment, Str, Units


class Sweep(Base):
    """Deposit addresses to the treasury of a network. `status` and `reasons` are
    sweep_facts.judge of the rest; `loads` are [{intent, gas, fee_cap}], a transaction each."""

    __tablename__ = "sweeps"
    __table_args__ = (
        Index("sweeps_due", "network", "due_at", postgresql_where=text("due_at is not null")),
        Index("sweeps_sending", "network", postgresql_where=text("status = 'sending'")),
        # A policy asks once, however many workers look.
        Index(
            "sweeps_policy",
            "network",
            unique=True,
            postgresql_where=text("trigger = 'policy' and status in ('requested','approved')"),
        ),
    )

    id: Mapped[Id]
    network: Mapped[Str]
    status: Mapped[Str]
    reasons: Mapped[list[str]] = mapped_column(JSONB)
    trigger: Mapped[Str]  # command, policy
    initiator: Mapped[Str]  # key_..., or "" for a policy
    wanted: Mapped[Json]  # {addresses, assets}: lists, or null for all
    loads: Mapped[list[Any] | None] = mapped_column(JSONB)  # null: not planned
    skipped: Mapped[JsonList]  # [{address, token, reason, retry_at}]
    created_at: Mapped[Moment]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # null: nothing to do
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # wall time


class SweepItem(Base):
    """One asset at one address. While `live` no other sweep may hold the same."""

    __tablename__ = "sweep_items"
    __table_args__ = (
        Index("sweep_items_sweep", "sweep_id"),
        Index("sweep_items_address", "network", "address", "token"),
        Index("sweep_items_transaction", "transaction_id"),
        Index(
            "sweep_items_live",
            "network",
            "address",
            "token",
            unique=True,
            postgresql_where=text("live"),
        ),
    )

    id: Mapped[Id]
    sweep_id: Mapped[UUID] = mapped_column(ForeignKey("sweeps.id"))
    network: Mapped[Str]
    address: Mapped[Str]
    salt: Mapped[Str]  # 0x, 32 bytes
    token: Mapped[Str]  # contract address, or native
    asset: Mapped[str | None] = mapped_column(Text)  # null: not configured
    amount: Mapped[Units]  # base units that are expected there
    gas_units: Mapped[int] = mapped_column(Integer)  # what it costs by the model: its weight
    deposits: Mapped[JsonList]  # ids of the deposits that make up the amount
    transaction_id: Mapped[UUID | None] = mapped_column(Uuid)
    live: Mapped[bool] = mapped_column(Boolean)
    outcome: Mapped[str | None] = mapped_column(Text)  # swept, empty, failed, unsent
    gas: Mapped[int | None] = mapped_column(BaseUnits)  # its share in wei
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SweepOutcome(Base):
    """A `Swept` event for an item, whoever sent the transaction; a fork takes the row away."""

    __tablename__ = "sweep_outcomes"
    __table_args__ = (
        Index("sweep_outcomes_item", "item_id"),
        Index("sweep_outcomes_height", "network", "block_number"),
    )

    network: Mapped[Str] = mapped_column(primary_key=True)
    block_hash: Mapped[Str] = mapped_column(primary_key=True)
    log_index: Mapped[int] = mapped_column(Integer, primary_key=True)
    block_number: Mapped[int] = mapped_column(BigInteger)
    tx_hash: Mapped[Str]
    item_id: Mapped[UUID] = mapped_column(ForeignKey("sweep_items.id"))
    amount: Mapped[Units]  # what left
    arrived: Mapped[Units]
    treasury: Mapped[Str]
