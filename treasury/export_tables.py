"""What was asked to be exported: never a file, always made anew from the ledger."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Moment, Str


class Export(Base):
    """A period of the ledger, as it was numbered through the entry `through`: null until every
    transaction is over that wrote before it was asked for (PostgreSQL's ids below `horizon`)."""

    __tablename__ = "exports"

    id: Mapped[Id]
    kind: Mapped[Str]
    format: Mapped[Str]
    method: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    until: Mapped[Moment]
    horizon: Mapped[int] = mapped_column(BigInteger)
    through: Mapped[int | None] = mapped_column(BigInteger)
    created_by: Mapped[Str]
    created_at: Mapped[Moment]
