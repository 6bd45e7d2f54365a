"""Whose an address is, what stands on it, and what leaves from our own wallets."""

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
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, Moment, Str, Units


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
    wallet_id: Mapped[UUID | None] = mapped_column(Uuid)  # a customer's: it stays
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
    __table_args__ = (
        Index("address_holdings_left", "network", postgresql_where=text("amount > 0")),
    )

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    asset: Mapped[Str] = mapped_column(primary_key=True)
    amount: Mapped[Units]


class ExpectedInflow(Base):
    """What somebody else's transaction is to bring to an address of the house: a venue's
    withdrawal, or what its owner sends from the treasury. One that arrives is booked to the thing
    that awaits it and not to suspense (MONEY 2)."""

    __tablename__ = "expected_inflows"
    __table_args__ = (
        Index(
            "expected_inflows_open",
            "network",
            postgresql_where=text("tx_hash is null and not closed and not arrived"),
        ),
        Index("expected_inflows_hash", "network", "tx_hash"),
    )

    reference: Mapped[Str] = mapped_column(primary_key=True)  # mov_...: whose it is
    network: Mapped[Str]
    address: Mapped[Str]
    asset: Mapped[Str]
    amount: Mapped[Units]  # base units; without a hash: the most that may come
    sender: Mapped[str | None] = mapped_column(Text)  # of ours, where it is known
    tx_hash: Mapped[str | None] = mapped_column(Text)  # None: nobody has told it yet
    arrived: Mapped[bool] = mapped_column(Boolean)  # a block has it, until a fork takes it back
    closed: Mapped[bool] = mapped_column(Boolean)  # it will not come
    lost: Mapped[bool] = mapped_column(Boolean)  # written off: what comes is found again
    created_at: Mapped[Moment]


class HotWallet(Base):
    """A wallet the signer holds the key of, or one that is only watched. The same address on
    every network; `house_addresses` says in which role it is ours there."""

    __tablename__ = "hot_wallets"

    id: Mapped[Id]
    address: Mapped[Str] = mapped_column(unique=True)  # lower-case 0x hex
    label: Mapped[Str]
    kind: Mapped[Str]  # hot, relayer, treasury, watch
    created_at: Mapped[Moment]
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Sender(Base):
    """A wallet on a network. Its row's lock is the authority over the next nonce (CHAIN 3)."""

    __tablename__ = "senders"

    network: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    next_nonce: Mapped[int] = mapped_column(BigInteger)
    promised: Mapped[UUID | None] = mapped_column(Uuid)  # whose alone the next nonce is
    created_at: Mapped[Moment]


class Transaction(Base):
    """An outgoing transaction (CHAIN 3). `prepared` has no nonce; what was mined stands in the
    last columns until a fork takes it back."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("network", "wallet", "nonce", name="transactions_nonce"),
        Index("transactions_reference", "reference"),
        Index(
            "transactions_due",
            "network",
            "due_at",
            postgresql_where=text("status in ('prepared','sent')"),
        ),
        Index("transactions_open", "network", postgresql_where=text("open")),
    )

    id: Mapped[Id]
    network: Mapped[Str]
    wallet: Mapped[Str]
    purpose: Mapped[Str]
    reference: Mapped[Str]  # the TypeID of what it serves
    order_id: Mapped[UUID] = mapped_column(Uuid)  # as the signer knows it: one nonce for ever
    intent: Mapped[Json]
    spends: Mapped[dict[str, str]] = mapped_column(JSONB)  # token -> base units that leave
    urgency: Mapped[Str]
    fee_cap: Mapped[int | None] = mapped_column(BaseUnits)  # wei for the whole transaction
    least_gas: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[Str]  # prepared, sent, mined, confirmed, failed, cancelled
    reason: Mapped[str | None] = mapped_column(Text)
    nonce: Mapped[int | None] = mapped_column(BigInteger)
    gas: Mapped[int | None] = mapped_column(BigInteger)
    cancel_asked: Mapped[bool] = mapped_column(Boolean)
    generation: Mapped[int] = mapped_column(Integer)  # how often it was mined
    open: Mapped[bool] = mapped_column(Boolean)  # has a nonce, and no final block carries it
    due_at: Mapped[Moment]
    attempts: Mapped[int] = mapped_column(Integer)  # at what does not work now
    created_at: Mapped[Moment]
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    tx_hash: Mapped[str | None] = mapped_column(Text)  # of the variant that was mined
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    block_hash: Mapped[str | None] = mapped_column(Text)
    succeeded: Mapped[bool | None] = mapped_column(Boolean)
    gas_paid: Mapped[int | None] = mapped_column(BaseUnits)  # wei, an L2's l1Fee included
    outflows: Mapped[list[Any] | None] = mapped_column(JSONB)


class TransactionVariant(Base):
    """Signed bytes at a nonce. At most one variant of a nonce is ever mined."""

    __tablename__ = "transaction_variants"
    __table_args__ = (Index("transaction_variants_transaction", "transaction_id", "made_at"),)

    tx_hash: Mapped[Str] = mapped_column(primary_key=True)
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"))
    kind: Mapped[Str]  # intent, cancel
    nonce: Mapped[int] = mapped_column(BigInteger)
    gas: Mapped[int] = mapped_column(BigInteger)
    max_fee: Mapped[Units]  # wei per gas
    priority_fee: Mapped[Units]
    raw: Mapped[Str]  # 0x hex
    made_at: Mapped[Moment]
    handed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # first time
    outcome: Mapped[str | None] = mapped_column(Text)  # accepted, or what the refusal means
    detail: Mapped[str | None] = mapped_column(Text)  # the node's own words
