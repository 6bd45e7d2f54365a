"""Requests that are paid by x402: whose address takes the money, what was asked of the worker, and
what was settled."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class PayTo(Base):
    """A merchant's `payTo`: one deposit address for ever. What a settlement of ours brings belongs
    to that settlement's invoice; all else goes to `invoice_id`, which is closed: to the inbox."""

    __tablename__ = "x402_pay_to"

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    address: Mapped[Str] = mapped_column(unique=True)
    address_id: Mapped[UUID] = mapped_column(Uuid)  # gives the salt
    invoice_id: Mapped[UUID] = mapped_column(ForeignKey("invoices.id"))
    created_at: Mapped[Moment]


class Check(Base):
    """What `verify` asks of the worker: balance, nonce, simulation. Forgotten after a while."""

    __tablename__ = "x402_checks"
    __table_args__ = (
        Index(
            "x402_checks_asked", "network", "asked_at", postgresql_where=text("status='requested'")
        ),
        Index("x402_checks_age", "asked_at"),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    network: Mapped[Str]
    token: Mapped[Str]
    payer: Mapped[Str]
    nonce: Mapped[Str]  # 0x, 32 bytes
    pay_to: Mapped[Str]
    amount: Mapped[Units]
    valid_after: Mapped[Units]  # unix seconds
    valid_before: Mapped[Units]
    signature: Mapped[Str]  # 0x, 65 bytes
    status: Mapped[Str]  # requested, valid, invalid, unknown
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[Moment]  # wall time
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Settlement(Base):
    """A payer's authorization that our relayer sends to the token, once."""

    __tablename__ = "x402_settlements"
    __table_args__ = (
        # An authorization is carried once; one that was refused never left.
        Index(
            "x402_settlements_authorization",
            "network",
            "token",
            "payer",
            "nonce",
            unique=True,
            postgresql_where=text("status <> 'refused'"),
        ),
        Index("x402_settlements_merchant", "merchant_id", "id"),
        Index("x402_settlements_recent", "merchant_id", "network", "created_at"),
        Index(
            "x402_settlements_transaction",
            "transaction_id",
            postgresql_where=text("transaction_id is not null"),
        ),
        Index(
            "x402_settlements_due", "network", "due_at", postgresql_where=text("due_at is not null")
        ),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    network: Mapped[Str]
    asset: Mapped[Str]
    token: Mapped[Str]
    payer: Mapped[Str]
    nonce: Mapped[Str]
    pay_to: Mapped[Str]
    amount: Mapped[Units]
    valid_after: Mapped[Units]
    valid_before: Mapped[Units]
    signature: Mapped[Str]
    resource: Mapped[str | None] = mapped_column(Text)  # the URL that is paid for
    status: Mapped[Str]  # requested, sending, refused; then transaction and invoice say it
    reason: Mapped[str | None] = mapped_column(Text)  # x402's code
    detail: Mapped[str | None] = mapped_column(Text)
    invoice_id: Mapped[UUID] = mapped_column(Uuid)  # made with the transaction
    fee_cap: Mapped[int | None] = mapped_column(BaseUnits)  # wei that it may cost
    transaction_id: Mapped[UUID | None] = mapped_column(Uuid)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[Moment]
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
