"""Payouts, batches of them, refunds, approvals, and what sending costs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base
from core.types import BaseUnits, Id, Json, Moment, Str, Units


class Payout(Base):
    """Money that is asked to leave. `status` and `reasons` are payout_facts.judge of the rest.

    What was asked never changes; the facts behind are written by the worker's step (screening,
    policy, signer), by people (approvals, rejection) and by the chain (transaction, outcome).
    """

    __tablename__ = "payouts"
    __table_args__ = (
        Index("payouts_merchant", "merchant_id", "id"),
        Index("payouts_batch", "batch_id", postgresql_where=text("batch_id is not null")),
        Index("payouts_due", "due_at", postgresql_where=text("due_at is not null")),
        Index(
            "payouts_transaction",
            "transaction_id",
            postgresql_where=text("transaction_id is not null"),
        ),
        Index(
            "payouts_open",
            "source",
            "asset",
            postgresql_where=text("status in ('requested','held','approved')"),
        ),
        Index("payouts_sending", "transaction_id", postgresql_where=text("status = 'sending'")),
        Index(
            "payouts_bank", "asset", "status", postgresql_where=text("bank_account_id is not null")
        ),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("payout_batches.id"))
    status: Mapped[Str]
    reasons: Mapped[list[str]] = mapped_column(JSONB)
    source: Mapped[Str]  # the ledger account it was taken from, and goes back to
    network: Mapped[Str]  # CAIP-2, or BANK
    asset: Mapped[Str]
    token: Mapped[Str]  # contract address, or native; "" at a bank
    amount: Mapped[Units]  # what the payee gets, base units
    fee: Mapped[Units]  # the network fee as quoted, base units of the same asset
    fee_paid_by: Mapped[Str]  # merchant, house
    fee_quote: Mapped[Json]  # what the quote rests on
    fee_cap: Mapped[Units]  # wei: more the whole transaction may not cost
    house_value: Mapped[int | None] = mapped_column(BaseUnits)  # house currency; null: no price
    address: Mapped[Str]  # lower case; at a bank the IBAN
    bank_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("merchant_bank_accounts.id"))
    reference: Mapped[str | None] = mapped_column(Text)
    initiator: Mapped[Str]  # key_...: of the merchant, also for what a customer asked him for
    # judged by the worker's step
    # an AddressKind of the rules, null where the chain has not said
    address_kind: Mapped[str | None] = mapped_column(Text)
    screening: Mapped[str | None] = mapped_column(Text)  # accept, hold, reject
    policy: Mapped[str | None] = mapped_column(Text)  # allow, approve, block
    rule: Mapped[str | None] = mapped_column(Text)  # the rule that fired
    signer: Mapped[str | None] = mapped_column(
        Text
    )  # allowed, or the refusal's code; at a bank: COOLING
    needed: Mapped[int] = mapped_column(Integer)  # approvals, by signer and policy
    given: Mapped[int] = mapped_column(Integer)
    overdrawn: Mapped[bool] = mapped_column(Boolean)  # a reversal took the money behind it
    hot_short: Mapped[bool] = mapped_column(Boolean)
    rejected: Mapped[str | None] = mapped_column(Text)  # a person's reason
    # told by the chain, or by a bank's statement
    transaction_id: Mapped[UUID | None] = mapped_column(Uuid)
    bank_export_id: Mapped[UUID | None] = mapped_column(Uuid)  # the file that orders it
    outcome: Mapped[str | None] = mapped_column(Text)  # payout_facts.Sent
    final: Mapped[bool] = mapped_column(Boolean)  # that block is as deep as the policy asks
    failure: Mapped[str | None] = mapped_column(Text)
    generation: Mapped[int] = mapped_column(Integer)  # how often a block carried it
    created_at: Mapped[Moment]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # null: nothing to do
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # wall time


class MerchantBankAccount(Base):
    """Who may be paid at a bank. Never changed: another IBAN is another account, and cools."""

    __tablename__ = "merchant_bank_accounts"
    __table_args__ = (
        Index(
            "merchant_bank_accounts_known",
            "merchant_id",
            "iban",
            "asset",
            unique=True,
            postgresql_where=text("removed_at is null"),
        ),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    asset: Mapped[Str]  # ISO 4217
    holder: Mapped[Str]
    iban: Mapped[Str]  # no blanks, upper case
    bic: Mapped[str | None] = mapped_column(Text)
    author: Mapped[Str]  # key_...
    created_at: Mapped[Moment]
    usable_at: Mapped[Moment]  # the end of its cooling
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Release(Base):
    """An operator's word that a bank payout may leave: each key counts once."""

    __tablename__ = "payout_releases"

    payout_id: Mapped[UUID] = mapped_column(ForeignKey("payouts.id"), primary_key=True)
    released_by: Mapped[Str] = mapped_column(primary_key=True)  # key_...
    given_at: Mapped[Moment]


class PayoutBatch(Base):
    """Payouts that were asked for in one call."""

    __tablename__ = "payout_batches"
    __table_args__ = (Index("payout_batches_merchant", "merchant_id", "id"),)

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    initiator: Mapped[Str]
    created_at: Mapped[Moment]


class Refund(Base):
    """Of an invoice's money, back to its payer; or a deposit to a customer's wallet that a person
    rejected. Without a payout the merchant has yet to confirm what a customer asked for, or has
    refused it."""

    __tablename__ = "refunds"
    __table_args__ = (
        Index("refunds_merchant", "merchant_id", "id"),
        Index("refunds_invoice", "invoice_id"),
        Index("refunds_payout", "payout_id", unique=True),
        CheckConstraint("invoice_id is not null or deposit_id is not null", name="refunds_of"),
    )

    id: Mapped[Id]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    invoice_id: Mapped[UUID | None] = mapped_column(ForeignKey("invoices.id"))
    deposit_id: Mapped[UUID | None] = mapped_column(
        Uuid
    )  # one deposit of the inbox, or of a wallet
    payout_id: Mapped[UUID | None] = mapped_column(ForeignKey("payouts.id"))
    variant: Mapped[Str]  # full, overpaid, custom
    network: Mapped[Str]
    asset: Mapped[Str]
    amount: Mapped[Units]  # of the invoice's money: the payee's amount, and its fee if he pays it
    fee_paid_by: Mapped[str | None] = mapped_column(Text)  # merchant, house, customer
    address: Mapped[Str]
    asked_by: Mapped[Str]  # merchant, customer
    rejected: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment]


class Approval(Base):
    """What approvers are asked to sign (EIP-712), for one payout. A lapsed one is never revived."""

    __tablename__ = "payout_approvals"
    __table_args__ = (Index("payout_approvals_payout", "payout_id"),)

    id: Mapped[Id]
    payout_id: Mapped[UUID] = mapped_column(ForeignKey("payouts.id"))
    merchant_id: Mapped[UUID] = mapped_column(Uuid)
    status: Mapped[Str]  # requested, given, expired, withdrawn
    typed_data: Mapped[dict[str, Any]] = mapped_column(JSONB)  # as eth_signTypedData_v4 takes it
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    nonce: Mapped[Units]  # used once
    needed: Mapped[int] = mapped_column(Integer)
    approvers: Mapped[list[str]] = mapped_column(JSONB)  # as the signer names them, lower case
    # of the destination, as approvers saw it
    address_kind: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class ApprovalSignature(Base):
    """One approver's signature; the signer checks it again."""

    __tablename__ = "payout_approval_signatures"

    approval_id: Mapped[UUID] = mapped_column(ForeignKey("payout_approvals.id"), primary_key=True)
    approver: Mapped[Str] = mapped_column(primary_key=True)
    signature: Mapped[Str]  # 65 bytes, 0x hex
    given_at: Mapped[Moment]


class NetworkFee(Base):
    """What a network's gas costs, as the worker saw it last (wei per gas)."""

    __tablename__ = "network_fees"

    network: Mapped[Str] = mapped_column(primary_key=True)
    base_fee: Mapped[Units]
    priority_fee: Mapped[Units]
    at: Mapped[Moment]  # wall time
