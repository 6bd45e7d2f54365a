"""Router quotes, relayed authorizations, deposits that came through the router."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = "router_quotes, router_authorizations"


def upgrade() -> None:
    op.add_column(
        "deposits", sa.Column("role", sa.Text(), nullable=False, server_default="deposits")
    )
    op.add_column("deposits", _text("quote_hash", nullable=True))
    op.create_table(
        "router_quotes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("invoice_id", sa.Uuid(), sa.ForeignKey("invoices.id"), nullable=False),
        _text("network"),
        _text("asset"),
        _text("token"),
        _text("router"),
        _units("amount"),
        _moment("deadline"),
        _text("payer", nullable=True),
        _text("status"),
        _text("reason", nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("quote_hash", sa.Text(), nullable=False, unique=True),
        _text("signature", nullable=True),
        sa.Column("domain", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        _moment("created_at"),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    op.create_table(
        "router_authorizations",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("quote_id", sa.Uuid(), sa.ForeignKey("router_quotes.id"), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), sa.ForeignKey("invoices.id"), nullable=False),
        _text("network"),
        _text("payer"),
        _units("valid_after"),
        _units("valid_before"),
        _text("signature"),
        _text("status"),
        _text("reason", nullable=True),
        _text("detail", nullable=True),
        _units("fee_cap", nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("created_at"),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    _indexes()
    op.execute(f"grant select, insert, update on {TABLES} to bezant_service")


def _indexes() -> None:
    for table, name, columns, where in (
        ("deposits", "quote", ["quote_hash"], "quote_hash is not null"),
        ("router_quotes", "invoice", ["invoice_id"], None),
        ("router_quotes", "due", ["network", "due_at"], "due_at is not null"),
        ("router_authorizations", "invoice", ["invoice_id"], None),
        ("router_authorizations", "recent", ["network", "created_at"], None),
        ("router_authorizations", "due", ["network", "due_at"], "due_at is not null"),
    ):
        condition = sa.text(where) if where else None
        op.create_index(f"{table}_{name}", table, columns, postgresql_where=condition)
    for table, name, columns, where in (
        ("router_quotes", "live", ["invoice_id", "network", "asset", "amount"], "live"),
        ("router_authorizations", "quote", ["quote_id"], "status <> 'refused'"),
    ):
        op.create_index(
            f"{table}_{name}", table, columns, unique=True, postgresql_where=sa.text(where)
        )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
