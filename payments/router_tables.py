"""Quotes for our router, and authorizations of payers that we carry there."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class Quote(Base):
    """What one invoice costs in one asset until when, signed by the quote key (CHAIN 2).

    Asked for by a payer, checked and signed by the worker. Its id is the quote's nonce.
    """

    __tablename__ = "router_quotes"
    __table_args__ = (
        Index(
            "router_quotes_live",
            "invoice_id",
            "network",
            "asset",
            "amount",
            unique=True,
            postgresql_where=text("live"),
        ),
        Index("router_quotes_invoice", "invoice_id"),
        Index(
            "router_quotes_due", "network", "due_at", postgresql_where=text("due_at is not null")
        ),
    )

    id: Mapped[Id]
    invoice_id: Mapped[UUID] = mapped_column(ForeignKey("invoices.id"))
    network: Mapped[Str]
    asset: Mapped[Str]
    token: Mapped[Str]
    router: Mapped[Str]
    amount: Mapped[Units]
    deadline: Mapped[Moment]  # whole seconds: the last one in which it can be paid
    payer: Mapped[str | None] = mapped_column(Text)  # who asked, if he said so; anybody may pay
    status: Mapped[Str]  # requested, signed, refused
    reason: Mapped[str | None] = mapped_column(Text)  # why refused: a code
    live: Mapped[bool] = mapped_column(Boolean)  # given to whoever asks for the same
    quote_hash: Mapped[Str] = mapped_column(unique=True)  # 0x, as the router computes it
    signature: Mapped[str | None] = mapped_column(Text)  # 0x, 65 bytes
    domain: Mapped[dict[str, Any] | None] = mapped_column(JSONB)  # what the token can do
    created_at: Mapped[Moment]
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # null: nothing to do
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # wall time


class Authorization(Base):
    """A payer's EIP-3009 authorization over a quote, which our relayer sends."""

    __tablename__ = "router_authorizations"
    __table_args__ = (
        # One at a time for a quote: only one of them could be paid.
        Index(
            "router_authorizations_quote",
            "quote_id",
            unique=True,
            postgresql_where=text("status <> 'refused'"),
        ),
        Index("router_authorizations_invoice", "invoice_id"),
        Index("router_authorizations_recent", "network", "created_at"),
        Index(
            "router_authorizations_due",
            "network",
            "due_at",
            postgresql_where=text("due_at is not null"),
        ),
    )

    id: Mapped[Id]
    quote_id: Mapped[UUID] = mapped_column(ForeignKey("router_quotes.id"))
    invoice_id: Mapped[UUID] = mapped_column(ForeignKey("invoices.id"))
    network: Mapped[Str]
    payer: Mapped[Str]
    valid_after: Mapped[Units]  # unix seconds
    valid_before: Mapped[Units]
    signature: Mapped[Str]  # 0x, 65 bytes
    status: Mapped[Str]  # requested, sending, refused; from then on its transaction says it
    reason: Mapped[str | None] = mapped_column(Text)  # a code
    detail: Mapped[str | None] = mapped_column(Text)
    fee_cap: Mapped[int | None] = mapped_column(BaseUnits)  # wei that it may cost
    transaction_id: Mapped[UUID | None] = mapped_column(Uuid)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[Moment]
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
