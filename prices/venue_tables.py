"""What the venues said last: markets, books, streams and balances (VENUES 1).

All amounts, prices and fees are units of 10**-18. Books and streams are unlogged: after a crash of
the database they are empty, and empty is no price.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Moment, Str, Units


class VenueMarket(Base):
    """A symbol that both sides of are known to the house, and its rules (`exchanges.types.Market`).
    `read_at` is wall time."""

    __tablename__ = "venue_markets"

    venue: Mapped[Str] = mapped_column(primary_key=True)
    symbol: Mapped[Str] = mapped_column(primary_key=True)
    native: Mapped[Str]
    base: Mapped[Str]
    quote: Mapped[Str]
    tick: Mapped[Units]
    step: Mapped[Units]
    min_quantity: Mapped[Units]
    max_quantity: Mapped[int | None] = mapped_column(BaseUnits)
    min_notional: Mapped[Units]
    max_notional: Mapped[int | None] = mapped_column(BaseUnits)
    taker_fee: Mapped[Units]
    trading: Mapped[bool] = mapped_column(Boolean)
    read_at: Mapped[Moment]


class VenueBook(Base):
    """A symbol's book: `bids` from the highest, `asks` from the lowest, [[price, quantity]] as
    strings, which JSON readers do not round. `trusted` false: a gap was seen, or the stream began
    anew, and no snapshot came since. `at` is when the venue's news reached us, wall time."""

    __tablename__ = "venue_books"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    venue: Mapped[Str] = mapped_column(primary_key=True)
    symbol: Mapped[Str] = mapped_column(primary_key=True)
    bids: Mapped[list[list[str]]] = mapped_column(JSONB)
    asks: Mapped[list[list[str]]] = mapped_column(JSONB)
    best_bid: Mapped[int | None] = mapped_column(BaseUnits)
    best_ask: Mapped[int | None] = mapped_column(BaseUnits)
    sequence: Mapped[int] = mapped_column(BigInteger)
    trusted: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[Moment]


class VenueStream(Base):
    """A venue's public stream: `alive_at` is when anything was heard of it last, wall time;
    `problem` why it is not `trusted`."""

    __tablename__ = "venue_streams"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    venue: Mapped[Str] = mapped_column(primary_key=True)
    alive_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    trusted: Mapped[bool] = mapped_column(Boolean)
    problem: Mapped[str | None] = mapped_column(Text)


class VenueBalance(Base):
    """What our account held of an asset at `read_at` (wall time)."""

    __tablename__ = "venue_balances"

    venue: Mapped[Str] = mapped_column(primary_key=True)
    asset: Mapped[Str] = mapped_column(primary_key=True)
    free: Mapped[Units]
    locked: Mapped[Units]
    read_at: Mapped[Moment]
