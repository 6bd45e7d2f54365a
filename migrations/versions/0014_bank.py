"""Statements of banks and their lines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_statements",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("account"),
        _text("asset"),
        _text("number"),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        _text("format"),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=False),
        _units("opening"),
        _units("closing"),
        _text("digest"),
        _text("imported_by"),
        _moment("created_at"),
        sa.UniqueConstraint("account", "number", name="bank_statement_number"),
    )
    op.create_table(
        "bank_lines",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("account"),
        _text("asset"),
        _text("key"),
        _units("amount"),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("value_on", sa.Date(), nullable=True),
        _text("reference"),
        _text("text"),
        _text("status"),
        sa.Column("matched_with", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _text("matched_by"),
        _moment("matched_at", nullable=True),
        _moment("created_at"),
        sa.UniqueConstraint("account", "key", name="bank_line_key"),
    )
    op.create_table(
        "bank_statement_lines",
        sa.Column("statement_id", sa.Uuid(), sa.ForeignKey("bank_statements.id"), primary_key=True),
        sa.Column("line_id", sa.Uuid(), sa.ForeignKey("bank_lines.id"), primary_key=True),
        sa.Column("n", sa.Integer(), nullable=False),
    )
    op.create_index("bank_statements_order", "bank_statements", ["account", "closed_on"])
    op.create_index(
        "bank_lines_open", "bank_lines", ["account"], postgresql_where=sa.text("status = 'open'")
    )
    op.create_index("bank_statement_lines_line", "bank_statement_lines", ["line_id"])
    # What a bank has said is history; what is known of a line grows.
    for table in ("bank_statements", "bank_statement_lines"):
        op.execute(f"grant select, insert on {table} to bezant_service")
        op.execute(
            f"create trigger append_only before update or delete or truncate on {table}"
            " for each statement execute function refuse_change()"
        )
    op.execute("grant select, insert on bank_lines to bezant_service")
    op.execute(
        "grant update (status, matched_with, matched_by, matched_at) on bank_lines"
        " to bezant_service"
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=False)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
