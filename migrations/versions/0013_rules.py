"""What invoices settle in, and the rules by which the treasury converts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null for all that stand: their merchants keep the crypto.
    op.add_column(
        "invoices", sa.Column("settlement", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.create_index(
        "invoices_waiting",
        "invoices",
        ["id"],
        postgresql_where=sa.text("(settlement ->> 'waits') = 'true'"),
    )
    _rules()
    _firings()
    op.execute("grant select, insert, update on treasury_rules, rule_firings to bezant_service")


def _rules() -> None:
    op.create_table(
        "treasury_rules",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("asset"),
        _text("to_asset"),
        _text("basis"),
        _text("share_percent"),
        _text("schedule"),
        _units("minimum"),
        _units("threshold", nullable=True),
        _units("daily_limit", nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("counted_to", sa.BigInteger(), nullable=False),
        _units("left_over"),
        sa.Column("firings", sa.Integer(), nullable=False),
        _text("reason", nullable=True),
        _text("created_by"),
        _moment("created_at"),
        _moment("checked_at", nullable=True),
        _moment("deleted_at", nullable=True),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    op.create_index(
        "treasury_rules_due",
        "treasury_rules",
        ["due_at"],
        postgresql_where=sa.text("due_at is not null"),
    )
    # Two rules over what is set aside for merchants would convert it twice.
    op.create_index(
        "treasury_rules_fill",
        "treasury_rules",
        ["asset", "to_asset"],
        unique=True,
        postgresql_where=sa.text("basis = 'fiat_at_fill' and deleted_at is null"),
    )


def _firings() -> None:
    op.create_table(
        "rule_firings",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("rule_id", sa.Uuid(), sa.ForeignKey("treasury_rules.id"), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        _text("key"),
        _text("status"),
        _units("amount"),
        _units("given"),
        _units("got"),
        sa.Column("quote_id", sa.Uuid(), nullable=True),
        sa.Column("conversion_id", sa.Uuid(), nullable=True, unique=True),
        _moment("created_at"),
        _moment("finished_at", nullable=True),
        sa.UniqueConstraint("key", name="rule_firings_once"),
        sa.UniqueConstraint("rule_id", "n", name="rule_firings_place"),
    )
    op.create_index(
        "rule_firings_working",
        "rule_firings",
        ["rule_id"],
        unique=True,
        postgresql_where=sa.text("status = 'working'"),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
