"""Prices with their evidence: every reading, also the refused ones, and the newest of each pair."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Json, Moment, Str


class Reading(Base):
    """What a source said of a pair at one moment, and why it was refused if it was."""

    __tablename__ = "price_readings"
    __table_args__ = (
        Index("price_readings_pair", "base", "quote", "id"),
        Index("price_readings_at", "base", "quote", "observed_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    base: Mapped[Str]
    quote: Mapped[Str]
    source: Mapped[Str]
    network: Mapped[str | None] = mapped_column(Text)
    price: Mapped[int | None] = mapped_column(BaseUnits)  # quote per base, times 10^18
    refused: Mapped[str | None] = mapped_column(Text)
    evidence: Mapped[Json]  # feed, round_id, answer, decimals, updated_at, block_hash
    observed_at: Mapped[Moment]


class Price(Base):
    """The newest price of a pair that passed every check, and how things stand now.

    `refused` says why it may not be sold at (prices.sources); null while it may, until
    `valid_until`. The price is then the last one known.
    """

    __tablename__ = "prices"

    base: Mapped[Str] = mapped_column(primary_key=True)
    quote: Mapped[Str] = mapped_column(primary_key=True)
    price: Mapped[int | None] = mapped_column(BaseUnits)  # quote per base, times 10^18
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # the source's
    valid_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refused: Mapped[str | None] = mapped_column(Text)
    # [{source, feed, network, round_id, updated_at, price, observed_at, refused?, block_hash}]
    sources: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    observed_at: Mapped[Moment]
