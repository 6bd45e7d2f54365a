"""Payouts to banks: merchants' bank accounts, who released what, and the files handed to banks."""

import sqlalchemy as sa
from alembic import op

import core.types

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "merchant_bank_accounts",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("merchant_id", sa.Uuid(), sa.ForeignKey("merchants.id"), nullable=False),
        _text("asset"),
        _text("holder"),
        _text("iban"),
        sa.Column("bic", sa.Text(), nullable=True),
        _text("author"),
        _moment("created_at"),
        _moment("usable_at"),
        _moment("removed_at", nullable=True),
    )
    op.create_index(
        "merchant_bank_accounts_known",
        "merchant_bank_accounts",
        ["merchant_id", "iban", "asset"],
        unique=True,
        postgresql_where=sa.text("removed_at is null"),
    )
    op.create_table(
        "payout_releases",
        sa.Column("payout_id", sa.Uuid(), sa.ForeignKey("payouts.id"), primary_key=True),
        sa.Column("released_by", sa.Text(), primary_key=True),
        _moment("given_at"),
    )
    op.create_table(
        "bank_exports",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("account"),
        _text("asset"),
        sa.Column("payouts", sa.Integer(), nullable=False),
        sa.Column("total", core.types.BaseUnits(precision=78, scale=0), nullable=False),
        _text("format"),
        _text("content"),
        _text("made_by"),
        _moment("created_at"),
    )
    op.add_column(
        "payouts",
        sa.Column(
            "bank_account_id", sa.Uuid(), sa.ForeignKey("merchant_bank_accounts.id"), nullable=True
        ),
    )
    op.add_column("payouts", sa.Column("bank_export_id", sa.Uuid(), nullable=True))
    op.create_index(
        "payouts_bank", "payouts", ["asset", "status"],
        postgresql_where=sa.text("bank_account_id is not null"),
    )  # fmt: skip
    # Who is paid never changes; that nobody may be paid any more is added.
    op.execute("grant select, insert on merchant_bank_accounts to bezant_service")
    op.execute("grant update (removed_at) on merchant_bank_accounts to bezant_service")
    # What was released and given out is history.
    for table in ("payout_releases", "bank_exports"):
        op.execute(f"grant select, insert on {table} to bezant_service")
        op.execute(
            f"create trigger append_only before update or delete or truncate on {table}"
            " for each statement execute function refuse_change()"
        )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
