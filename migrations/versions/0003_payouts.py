"""Payouts, batches of them, refunds, approvals, network fees."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    "payout_batches", "payouts", "refunds", "payout_approvals", "payout_approval_signatures",
    "network_fees",
)  # fmt: skip


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def upgrade() -> None:
    op.create_table(
        "payout_batches",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), nullable=False),
        _text("initiator"),
        _moment("created_at"),
    )
    op.create_index("payout_batches_merchant", "payout_batches", ["merchant_id", "id"])
    _payouts()
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), sa.ForeignKey("invoices.id"), nullable=False),
        sa.Column("deposit_id", sa.Uuid(), nullable=True),
        sa.Column("payout_id", sa.Uuid(), sa.ForeignKey("payouts.id"), nullable=True),
        _text("variant"),
        _text("network"),
        _text("asset"),
        _units("amount"),
        _text("fee_paid_by", nullable=True),
        _text("address"),
        _text("asked_by"),
        _text("rejected", nullable=True),
        _moment("created_at"),
    )
    op.create_index("refunds_merchant", "refunds", ["merchant_id", "id"])
    op.create_index("refunds_invoice", "refunds", ["invoice_id"])
    op.create_index("refunds_payout", "refunds", ["payout_id"], unique=True)
    _approvals()
    op.create_table(
        "network_fees",
        sa.Column("network", sa.Text(), primary_key=True),
        _units("base_fee"),
        _units("priority_fee"),
        _moment("at"),
    )
    op.execute("alter table payouts set (fillfactor = 70)")
    op.execute(f"grant select, insert, update, delete on {', '.join(TABLES)} to bezant_service")


def _payouts() -> None:
    op.create_table(
        "payouts",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), nullable=False),
        sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("payout_batches.id"), nullable=True),
        _text("status"),
        _json("reasons"),
        _text("source"),
        _text("network"),
        _text("asset"),
        _text("token"),
        _units("amount"),
        _units("fee"),
        _text("fee_paid_by"),
        _json("fee_quote"),
        _units("fee_cap"),
        _units("house_value", nullable=True),
        _text("address"),
        _text("reference", nullable=True),
        _text("initiator"),
        _text("screening", nullable=True),
        _text("policy", nullable=True),
        _text("rule", nullable=True),
        _text("signer", nullable=True),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.Column("overdrawn", sa.Boolean(), nullable=False),
        sa.Column("hot_short", sa.Boolean(), nullable=False),
        _text("rejected", nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        _text("outcome", nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        _text("failure", nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        _moment("created_at"),
        _moment("decided_at", nullable=True),
        _moment("finished_at", nullable=True),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    op.create_index("payouts_merchant", "payouts", ["merchant_id", "id"])
    op.create_index(
        "payouts_open",
        "payouts",
        ["source", "asset"],
        postgresql_where=sa.text("status in ('requested','held','approved')"),
    )
    op.create_index(
        "payouts_sending",
        "payouts",
        ["transaction_id"],
        postgresql_where=sa.text("status = 'sending'"),
    )
    for name, column in (
        ("payouts_batch", "batch_id"),
        ("payouts_due", "due_at"),
        ("payouts_transaction", "transaction_id"),
    ):
        there = sa.text(f"{column} is not null")
        op.create_index(name, "payouts", [column], postgresql_where=there)


def _approvals() -> None:
    op.create_table(
        "payout_approvals",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("payout_id", sa.Uuid(), sa.ForeignKey("payouts.id"), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=False),
        _text("status"),
        _json("typed_data"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _units("nonce"),
        sa.Column("needed", sa.Integer(), nullable=False),
        _json("approvers"),
        _moment("created_at"),
        _moment("expires_at"),
    )
    op.create_index("payout_approvals_payout", "payout_approvals", ["payout_id"])
    op.create_table(
        "payout_approval_signatures",
        sa.Column("approval_id", sa.Uuid(), sa.ForeignKey("payout_approvals.id"), primary_key=True),
        sa.Column("approver", sa.Text(), primary_key=True),
        _text("signature"),
        _moment("given_at"),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
