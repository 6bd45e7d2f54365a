"""How far each network is followed, invoices, deposits, and movements of the house."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Moment, Str, Units


class NetworkCursor(Base):
    """The guard row of a network: the last block applied (CHAIN 1)."""

    __tablename__ = "network_cursors"

    network: Mapped[Str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[Str]
    version: Mapped[int] = mapped_column(BigInteger)
    genesis: Mapped[Str]  # hash of block 0: another chain under the same id is refused
    head: Mapped[int] = mapped_column(BigInteger)
    safe: Mapped[int | None] = mapped_column(BigInteger)
    finalized: Mapped[int | None] = mapped_column(BigInteger)
    followed_until: Mapped[Moment]  # no block up to here is unknown (heights.known_until)
    stalled: Mapped[bool] = mapped_column(Boolean)
    halted: Mapped[str | None] = mapped_column(Text)  # why nothing is credited
    endpoints: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    updated_at: Mapped[Moment]


class BlockRow(Base):
    """Block coverage: what was read, and how ETH inside it was found."""

    __tablename__ = "blocks"

    network: Mapped[Str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    hash: Mapped[Str]
    parent_hash: Mapped[Str]
    timestamp: Mapped[Moment]
    traces: Mapped[Str]


class TokenDecimals(Base):
    """What a token's contract said when it was first followed: amounts are read by it for ever."""

    __tablename__ = "token_decimals"

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    decimals: Mapped[int] = mapped_column(SmallInteger)
    read_at: Mapped[Moment]


class Invoice(Base):
    __tablename__ = "invoices"
    __table_args__ = (
        Index("invoices_merchant", "merchant_id", "id"),
        Index(
            "invoices_reference",
            "merchant_id",
            "reference",
            postgresql_where=text("reference is not null"),
        ),
        Index("invoices_open", "expires_at", postgresql_where=text("status = 'new'")),
        Index("invoices_waiting", "id", postgresql_where=text("(settlement ->> 'waits') = 'true'")),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    status: Mapped[Str]
    exception: Mapped[Str]
    currency: Mapped[Str]
    currency_decimals: Mapped[int] = mapped_column(SmallInteger)  # as they were, for ever
    amount: Mapped[Units]  # base units of the currency
    amount_paid: Mapped[Units]
    amount_confirmed: Mapped[Units]
    tolerance: Mapped[Units]  # base units of the currency, rounded down
    address: Mapped[Str]
    # [{network, asset, address (token), decimals, amount, rate, price}], amounts as text
    options: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    reference: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    metadata_: Mapped[dict[str, str]] = mapped_column("metadata", JSONB)
    success_url: Mapped[str | None] = mapped_column(Text)
    webhook_endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("webhook_endpoints.id"))
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    monitored_until: Mapped[Moment]
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    first_settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancelled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    mark: Mapped[str | None] = mapped_column(Text)
    mark_reason: Mapped[str | None] = mapped_column(Text)
    # settle_in.dump; null: its merchant keeps the crypto
    settlement: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class Deposit(Base):
    """A Transfer to one of our addresses, named by its movement (MONEY 2)."""

    __tablename__ = "deposits"
    __table_args__ = (
        # The address tells movements apart that have no transaction (withdrawals, balances).
        UniqueConstraint(
            "network", "block_hash", "tx_hash", "position", "address", name="deposits_movement"
        ),
        Index("deposits_invoice", "invoice_id"),
        Index("deposits_quote", "quote_hash", postgresql_where=text("quote_hash is not null")),
        Index("deposits_merchant", "merchant_id", "id"),
        Index("deposits_height", "network", "block_number"),
        Index(
            "deposits_wallet",
            "wallet_id",
            "tx_hash",
            postgresql_where=text("wallet_id is not null"),
        ),
        Index("deposits_wallet_pending", "wallet_id", postgresql_where=text("status = 'pending'")),
        Index("deposits_held", "id", postgresql_where=text("held")),
        Index(
            "deposits_pending", "network", "block_number", postgresql_where=text("status='pending'")
        ),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(Uuid)
    invoice_id: Mapped[UUID | None] = mapped_column(ForeignKey("invoices.id"))
    wallet_id: Mapped[UUID | None] = mapped_column(ForeignKey("wallets.id"))  # or a customer's
    network: Mapped[Str]
    block_hash: Mapped[Str]
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_time: Mapped[Moment]
    tx_hash: Mapped[Str]
    position: Mapped[Str]
    asset: Mapped[Str]
    token: Mapped[Str]
    amount: Mapped[Units]
    sender: Mapped[Str]
    address: Mapped[Str]
    # Whose the address is: deposits, or treasury (or hot) for what came through our router.
    role: Mapped[Str] = mapped_column(server_default="deposits")
    quote_hash: Mapped[str | None] = mapped_column(Text)  # the router's quote that was paid
    status: Mapped[Str]
    generation: Mapped[int] = mapped_column(Integer)
    account: Mapped[Str]  # where its debt stands: pending, available, inbox; "" once orphaned
    required: Mapped[Str]  # confirmations: a number, safe or finalized
    waiting_for: Mapped[str | None] = mapped_column(Text)
    witnessed: Mapped[bool] = mapped_column(Boolean)  # two endpoints show the movement
    held: Mapped[bool] = mapped_column(Boolean)  # by screening
    value: Mapped[int | None] = mapped_column(BaseUnits)  # minor units of the invoice's currency
    price_when_seen: Mapped[int | None] = mapped_column(BaseUnits)  # invoice currency, times 10^18
    house_value: Mapped[int | None] = mapped_column(BaseUnits)  # house currency; null: no price
    inbox_reason: Mapped[str | None] = mapped_column(Text)
    resolution: Mapped[str | None] = mapped_column(Text)  # credit, refund, ignore
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    seen_at: Mapped[Moment]
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HouseMovement(Base):
    """A movement at one of the house's own addresses, with the one meaning it was given."""

    __tablename__ = "house_movements"
    __table_args__ = (
        UniqueConstraint("network", "block_hash", "tx_hash", "position", name="house_movement"),
        Index("house_movements_height", "network", "block_number"),
        Index("house_movements_awaited", "network", postgresql_where=text("meaning = 'awaited'")),
        Index("house_movements_hash", "network", "tx_hash"),
    )

    id: Mapped[Id]
    network: Mapped[Str]
    block_hash: Mapped[Str]
    block_number: Mapped[int] = mapped_column(BigInteger)
    tx_hash: Mapped[Str]
    position: Mapped[Str]
    meaning: Mapped[Str]  # swept, moved, arrived, awaited, unknown
    reference: Mapped[str | None] = mapped_column(Text)  # mov_...: what awaited it
    asset: Mapped[Str]
    amount: Mapped[Units]  # what left (a sweep) or came in
    arrived: Mapped[Units]
    source: Mapped[Str]
    destination: Mapped[Str]
    place: Mapped[Str]  # the ledger's account of the destination
    status: Mapped[Str]  # live, orphaned
    generation: Mapped[int] = mapped_column(Integer)
