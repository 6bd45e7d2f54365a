"""Statements of banks and their lines."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Id, Moment, Str, Units


class BankStatement(Base):
    """One that proved itself: opening + lines = closing. Amounts in minor units, signed."""

    __tablename__ = "bank_statements"
    __table_args__ = (
        UniqueConstraint("account", "number", name="bank_statement_number"),
        Index("bank_statements_order", "account", "closed_on"),
    )

    id: Mapped[Id]
    account: Mapped[Str]  # banks.<id> of bezant.toml
    asset: Mapped[Str]
    number: Mapped[Str]  # the bank's; of a CSV the digest of its text
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    format: Mapped[Str]  # camt.053, csv
    opened_on: Mapped[date] = mapped_column(Date)
    closed_on: Mapped[date] = mapped_column(Date)
    opening: Mapped[Units]
    closing: Mapped[Units]
    digest: Mapped[Str]  # bank_files.digest
    imported_by: Mapped[Str]  # key_..., or the command line
    created_at: Mapped[Moment]


class BankLine(Base):
    """One booking, however many statements show it. `amount` in minor units: in is positive."""

    __tablename__ = "bank_lines"
    __table_args__ = (
        UniqueConstraint("account", "key", name="bank_line_key"),
        Index("bank_lines_open", "account", postgresql_where=sql("status = 'open'")),
    )

    id: Mapped[Id]
    account: Mapped[Str]
    asset: Mapped[Str]
    key: Mapped[Str]  # bank_files.keys
    amount: Mapped[Units]
    booked_on: Mapped[date] = mapped_column(Date)
    value_on: Mapped[date | None] = mapped_column(Date)
    reference: Mapped[Str]  # the bank's
    text: Mapped[Str]
    status: Mapped[Str]  # open, matched, resolved (by a person, who closed its Break)
    matched_with: Mapped[list[str]] = mapped_column(JSONB)  # mov_...
    matched_by: Mapped[Str]  # key_..., or "" where amounts and names did
    matched_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[Moment]


class BankExport(Base):
    """A file of payouts for the bank, as it was given out: the same bytes whenever it is asked for
    again, so that the bank knows a repetition by its number."""

    __tablename__ = "bank_exports"

    id: Mapped[Id]
    account: Mapped[Str]  # banks.<id> of bezant.toml, that pays
    asset: Mapped[Str]
    payouts: Mapped[int] = mapped_column(Integer)  # how many
    total: Mapped[Units]  # minor units
    format: Mapped[Str]  # pain.001.001.09
    content: Mapped[Str]
    made_by: Mapped[Str]  # key_..., or the command line
    created_at: Mapped[Moment]


class BankStatementLine(Base):
    """That a statement shows a line; two that overlap show the same one."""

    __tablename__ = "bank_statement_lines"
    __table_args__ = (Index("bank_statement_lines_line", "line_id"),)

    statement_id: Mapped[UUID] = mapped_column(ForeignKey("bank_statements.id"), primary_key=True)
    line_id: Mapped[UUID] = mapped_column(ForeignKey("bank_lines.id"), primary_key=True)
    n: Mapped[int] = mapped_column(Integer)
