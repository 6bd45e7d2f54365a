"""Rules by which the treasury converts, and what came of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class Rule(Base):
    """Amounts in units of 10**-18 of `asset`; times are the domain's, but `leased_until`.

    `counted_to` is the number (`entry_chain.seq`) of the last entry that was counted, `left_over`
    what was counted and not converted: less than zero where the chain took back more.
    """

    __tablename__ = "treasury_rules"
    __table_args__ = (
        Index("treasury_rules_due", "due_at", postgresql_where=text("due_at is not null")),
        Index(
            "treasury_rules_fill",
            "asset",
            "to_asset",
            unique=True,
            postgresql_where=text("basis = 'fiat_at_fill' and deleted_at is null"),
        ),
    )

    id: Mapped[Id]
    asset: Mapped[Str]
    to_asset: Mapped[Str]
    basis: Mapped[Str]  # rule_machine.Basis: of what `share_percent` is taken
    share_percent: Mapped[Str]
    schedule: Mapped[Str]  # a cron expression, or on_settlement
    minimum: Mapped[Units]
    threshold: Mapped[int | None] = mapped_column(BaseUnits)
    daily_limit: Mapped[int | None] = mapped_column(BaseUnits)
    dry_run: Mapped[bool] = mapped_column(Boolean)
    counted_to: Mapped[int] = mapped_column(BigInteger)
    left_over: Mapped[Units]
    firings: Mapped[int] = mapped_column(Integer)  # how often it fired
    reason: Mapped[str | None] = mapped_column(Text)  # why it did not, the last time
    created_by: Mapped[Str]
    created_at: Mapped[Moment]
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Firing(Base):
    """One time that a rule fired: `key` makes it happen once. `status`: working, done, dry_run.

    `amount` is what was to be converted, `given` and `got` what its conversion came to.
    """

    __tablename__ = "rule_firings"
    __table_args__ = (
        UniqueConstraint("key", name="rule_firings_once"),
        UniqueConstraint("rule_id", "n", name="rule_firings_place"),
        Index(
            "rule_firings_working",
            "rule_id",
            unique=True,
            postgresql_where=text("status = 'working'"),
        ),
    )

    id: Mapped[Id]
    rule_id: Mapped[UUID] = mapped_column(ForeignKey("treasury_rules.id"))
    n: Mapped[int] = mapped_column(Integer)
    key: Mapped[Str]
    status: Mapped[Str]
    amount: Mapped[Units]
    given: Mapped[Units]
    got: Mapped[Units]
    quote_id: Mapped[UUID | None] = mapped_column(Uuid)
    conversion_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    created_at: Mapped[Moment]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
