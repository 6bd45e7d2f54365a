"""Sweeps, their items, what the factory's events said of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = "sweeps, sweep_items, sweep_outcomes"


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("network"),
        _text("status"),
        _json("reasons"),
        _text("trigger"),
        _text("initiator"),
        _json("wanted"),
        _json("loads", nullable=True),
        _json("skipped"),
        _moment("created_at"),
        _moment("finished_at", nullable=True),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    _items()
    op.create_table(
        "sweep_outcomes",
        _text("network", primary_key=True),
        _text("block_hash", primary_key=True),
        sa.Column("log_index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        _text("tx_hash"),
        sa.Column("item_id", sa.Uuid(), sa.ForeignKey("sweep_items.id"), nullable=False),
        _units("amount"),
        _units("arrived"),
        _text("treasury"),
    )
    op.execute(f"grant select, insert, update, delete on {TABLES} to bezant_service")
    op.execute("revoke delete on sweeps, sweep_items from bezant_service")
    _indexes()


def _items() -> None:
    op.create_table(
        "sweep_items",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("sweep_id", sa.Uuid(), sa.ForeignKey("sweeps.id"), nullable=False),
        _text("network"),
        _text("address"),
        _text("salt"),
        _text("token"),
        _text("asset", nullable=True),
        _units("amount"),
        sa.Column("gas_units", sa.Integer(), nullable=False),
        _json("deposits"),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        _text("outcome", nullable=True),
        _units("gas", nullable=True),
        _moment("finished_at", nullable=True),
    )


def _indexes() -> None:
    for table, name, columns, where in (
        ("sweeps", "due", ["network", "due_at"], "due_at is not null"),
        ("sweeps", "sending", ["network"], "status = 'sending'"),
        ("sweep_items", "sweep", ["sweep_id"], None),
        ("sweep_items", "address", ["network", "address", "token"], None),
        ("sweep_items", "transaction", ["transaction_id"], None),
        ("sweep_outcomes", "item", ["item_id"], None),
        ("sweep_outcomes", "height", ["network", "block_number"], None),
        ("address_holdings", "left", ["network"], "amount > 0"),
    ):
        condition = sa.text(where) if where else None
        op.create_index(f"{table}_{name}", table, columns, postgresql_where=condition)
    op.create_index(
        "sweeps_policy",
        "sweeps",
        ["network"],
        unique=True,
        postgresql_where=sa.text("trigger = 'policy' and status in ('requested','approved')"),
    )
    op.create_index(
        "sweep_items_live",
        "sweep_items",
        ["network", "address", "token"],
        unique=True,
        postgresql_where=sa.text("live"),
    )


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
