"""Merchants and their keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Moment, Str


class Merchant(Base):
    __tablename__ = "merchants"

    id: Mapped[Id]
    name: Mapped[Str]
    settle_in: Mapped[Str]
    settle_currency: Mapped[str | None] = mapped_column(Text)
    spread_percent: Mapped[Str]
    payout_fee: Mapped[Str]
    # What it accepts: [[network, asset], ...]; null means all that is configured.
    accepts: Mapped[list[list[str]] | None] = mapped_column(JSONB)
    webhook_secret: Mapped[bytes] = mapped_column(LargeBinary)  # sealed; signs `webhook_url`s
    created_at: Mapped[Moment]


class ApiKey(Base):
    """256 random bits, kept as SHA-256 only. `merchant_id` is null on an operator's key."""

    __tablename__ = "api_keys"

    id: Mapped[Id]
    merchant_id: Mapped[UUID | None] = mapped_column(ForeignKey("merchants.id"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    prefix: Mapped[Str]  # the first characters, to tell keys apart
    name: Mapped[str | None] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[Moment]
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
