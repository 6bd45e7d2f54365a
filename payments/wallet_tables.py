"""Customers of merchants, their wallets, instant transfers between these, and limits."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class Customer(Base):
    """Whoever a merchant keeps wallets for, under the merchant's own reference."""

    __tablename__ = "customers"
    __table_args__ = (UniqueConstraint("merchant_id", "reference", name="customers_reference"),)

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    reference: Mapped[Str]
    metadata_: Mapped[dict[str, str]] = mapped_column("metadata", JSONB)
    created_at: Mapped[Moment]


class Wallet(Base):
    """A customer's wallet: accounts of the ledger (`wallet:<id>:available|pending|reserved`) and an
    address that stays. Its row's lock is the authority over what leaves it (limits)."""

    __tablename__ = "wallets"
    __table_args__ = (
        Index("wallets_merchant", "merchant_id", "id"),
        Index("wallets_customer", "customer_id", "id"),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    networks: Mapped[list[str]] = mapped_column(JSONB)
    address: Mapped[Str]  # lower case, the same on each of its networks
    created_at: Mapped[Moment]


class WalletLimit(Base):
    """How much of an asset may leave a wallet, in base units; null: as much as there is."""

    __tablename__ = "wallet_limits"

    wallet_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.id"), primary_key=True)
    asset: Mapped[Str] = mapped_column(primary_key=True)
    per_transfer: Mapped[int | None] = mapped_column(BaseUnits)
    per_day: Mapped[int | None] = mapped_column(BaseUnits)  # any 24 hours


class Transfer(Base):
    """Money that went from one wallet to another in the ledger alone. Made, it is done."""

    __tablename__ = "transfers"
    __table_args__ = (
        Index("transfers_merchant", "merchant_id", "id"),
        Index("transfers_from", "from_wallet_id", "asset", "created_at"),
        Index("transfers_to", "to_wallet_id", "id"),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    from_wallet_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.id"))
    to_wallet_id: Mapped[UUID] = mapped_column(ForeignKey("wallets.id"))
    asset: Mapped[Str]
    amount: Mapped[Units]
    reference: Mapped[str | None] = mapped_column(Text)
    initiator: Mapped[Str]
    created_at: Mapped[Moment]
