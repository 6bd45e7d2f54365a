"""Quotes of the treasury: a price for a size that stands for some seconds, and how it was found."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Json, JsonList, Moment, Str, Units


class TreasuryQuote(Base):
    """What was asked and what is offered. Amounts and `price` (`to` for one `from`, all fees in)
    are units of 10**-18.

    `plan` is treasury.plan; `oracle` what Chainlink said; `evidence` the books that it rests on;
    `alternatives` what each path alone would have brought; `refused` what was not used, and why.
    `conversion_id`: who took it.
    """

    __tablename__ = "treasury_quotes"

    id: Mapped[Id]
    from_asset: Mapped[Str]
    to_asset: Mapped[Str]
    side: Mapped[Str]
    asked_amount: Mapped[Units]
    from_amount: Mapped[Units]
    to_amount: Mapped[Units]
    price: Mapped[Units]
    plan: Mapped[Json]
    oracle: Mapped[Json]
    evidence: Mapped[JsonList]
    alternatives: Mapped[JsonList]
    refused: Mapped[JsonList]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    conversion_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
