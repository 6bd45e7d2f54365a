"""Requests that are paid by x402."""

import sqlalchemy as sa
from alembic import op

import core.types

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "x402_pay_to",
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False, unique=True),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), sa.ForeignKey("invoices.id"), nullable=False),
        _moment("created_at"),
    )
    op.create_table(
        "x402_checks",
        *_authorization(),
        _text("status"),
        _text("reason", nullable=True),
        _text("detail", nullable=True),
        _moment("asked_at"),
        _moment("leased_until", nullable=True),
    )
    op.create_table(
        "x402_settlements",
        *_authorization(),
        _text("asset"),
        _text("resource", nullable=True),
        _text("status"),
        _text("reason", nullable=True),
        _text("detail", nullable=True),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        _units("fee_cap", nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("created_at"),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    _indexes()
    op.execute("grant select, insert on x402_pay_to to bezant_service")
    op.execute("grant select, insert, update, delete on x402_checks to bezant_service")
    op.execute("grant select, insert, update on x402_settlements to bezant_service")


def _indexes() -> None:
    for table, name, columns, where in (
        ("x402_checks", "asked", ["network", "asked_at"], "status='requested'"),
        ("x402_checks", "age", ["asked_at"], None),
        ("x402_settlements", "merchant", ["merchant_id", "id"], None),
        ("x402_settlements", "recent", ["merchant_id", "network", "created_at"], None),
        ("x402_settlements", "transaction", ["transaction_id"], "transaction_id is not null"),
        ("x402_settlements", "due", ["network", "due_at"], "due_at is not null"),
    ):
        condition = sa.text(where) if where else None
        op.create_index(f"{table}_{name}", table, columns, postgresql_where=condition)
    op.create_index(
        "x402_settlements_authorization",
        "x402_settlements",
        ["network", "token", "payer", "nonce"],
        unique=True,
        postgresql_where=sa.text("status <> 'refused'"),
    )


def _authorization() -> list[sa.Column[object]]:
    return [
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), nullable=False),
        _text("network"),
        _text("token"),
        _text("payer"),
        _text("nonce"),
        _text("pay_to"),
        _units("amount"),
        _units("valid_after"),
        _units("valid_before"),
        _text("signature"),
    ]


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
