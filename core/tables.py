"""Tables that belong to no domain."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, SmallInteger, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Moment, Str


class ClockRow(Base):
    """The sandbox's test clock: one row (DESIGN 6)."""

    __tablename__ = "clock"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    offset_seconds: Mapped[int] = mapped_column(BigInteger)


class IdempotencyKey(Base):
    """The first answer to a write, byte for byte (API 1). `scope` is the merchant, or the house.

    A write whose answer is the object of an event keeps it there only. No foreign key: events are
    never deleted (the database sees to it), and each check would cost an invoice a look-up.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("(body is null) <> (event_id is null)", name="idempotency_keys_answer"),
    )

    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    route: Mapped[Str] = mapped_column(primary_key=True)
    key: Mapped[Str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    event_id: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[Moment]
