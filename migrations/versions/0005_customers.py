"""Customers' wallets and instant transfers."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("deposits_held", "deposits", ["id"], postgresql_where=sa.text("held"))
    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _of("merchant_id", "merchants"),
        _text("reference"),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        _moment("created_at"),
        sa.UniqueConstraint("merchant_id", "reference", name="customers_reference"),
    )
    op.create_table(
        "wallets",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _of("merchant_id", "merchants"),
        _of("customer_id", "customers"),
        sa.Column("networks", postgresql.JSONB(), nullable=False),
        _text("address"),
        _moment("created_at"),
    )
    op.create_table(
        "wallet_limits",
        _of("wallet_id", "wallets", primary_key=True),
        _text("asset", primary_key=True),
        sa.Column("per_transfer", core.types.BaseUnits(), nullable=True),
        sa.Column("per_day", core.types.BaseUnits(), nullable=True),
    )
    op.create_table(
        "transfers",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _of("merchant_id", "merchants"),
        _of("from_wallet_id", "wallets"),
        _of("to_wallet_id", "wallets"),
        _text("asset"),
        sa.Column("amount", core.types.BaseUnits(), nullable=False),
        _text("reference", nullable=True),
        _text("initiator"),
        _moment("created_at"),
    )
    op.add_column("deposit_addresses", sa.Column("wallet_id", sa.Uuid(), nullable=True))
    op.add_column(
        "deposits", sa.Column("wallet_id", sa.Uuid(), sa.ForeignKey("wallets.id"), nullable=True)
    )
    _indexes()
    op.execute("grant select, insert on customers, wallets, transfers to bezant_service")
    op.execute("grant update on customers, wallets to bezant_service")
    op.execute("grant select, insert, update, delete on wallet_limits to bezant_service")


def _indexes() -> None:
    for table, name, columns in (
        ("wallets", "merchant", ["merchant_id", "id"]),
        ("wallets", "customer", ["customer_id", "id"]),
        ("transfers", "merchant", ["merchant_id", "id"]),
        ("transfers", "from", ["from_wallet_id", "asset", "created_at"]),
        ("transfers", "to", ["to_wallet_id", "id"]),
    ):
        op.create_index(f"{table}_{name}", table, columns)
    ours = sa.text("wallet_id is not null")
    op.create_index("deposits_wallet", "deposits", ["wallet_id", "tx_hash"], postgresql_where=ours)
    op.create_index(
        "deposits_wallet_pending",
        "deposits",
        ["wallet_id"],
        postgresql_where=sa.text("status = 'pending'"),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **({"nullable": False} | options))


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _of(name: str, table: str, **options: Any) -> sa.Column[Any]:
    reference = sa.ForeignKey(f"{table}.id")
    return sa.Column(name, sa.Uuid(), reference, **({"nullable": False} | options))
