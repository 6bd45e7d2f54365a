"""Whose an address is, and what stands on it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import Moment, Str, Units


class DepositAddress(Base):
    """A counterfactual address (CHAIN 2): the same on every network of the same factory.

    `address` is lower-case 0x hex, `id` gives the salt.
    """

    __tablename__ = "deposit_addresses"
    __table_args__ = (Index("deposit_addresses_watch", "watch_until"),)

    address: Mapped[Str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    merchant_id: Mapped[UUID] = mapped_column(Uuid)
    invoice_id: Mapped[UUID | None] = mapped_column(Uuid)
    watch_until: Mapped[Moment]  # balance comparison only; logs and traces are watched for ever
    created_at: Mapped[Moment]


class HouseAddress(Base):
    """Treasury, hot wallets, factory: inflow here must have a meaning (MONEY 2)."""

    __tablename__ = "house_addresses"

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(Text)  # treasury, hot, factory


class AddressHolding(Base):
    """What the chain holds for us at the cursor's block, per address: sweeps read it."""

    __tablename__ = "address_holdings"

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    asset: Mapped[Str] = mapped_column(primary_key=True)
    amount: Mapped[Units]
