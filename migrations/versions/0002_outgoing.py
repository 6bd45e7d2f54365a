"""Hot wallets, outgoing transactions and their variants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = "hot_wallets, senders, transactions, transaction_variants"


def upgrade() -> None:
    op.create_table(
        "hot_wallets",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("address", unique=True),
        _text("label"),
        _text("kind"),
        _moment("created_at"),
        _moment("retired_at", nullable=True),
    )
    op.create_table(
        "senders",
        _text("network", primary_key=True),
        _text("address", primary_key=True),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
        sa.Column("promised", sa.Uuid(), nullable=True),
        _moment("created_at"),
    )
    _transactions()
    op.create_table(
        "transaction_variants",
        _text("tx_hash", primary_key=True),
        sa.Column("transaction_id", sa.Uuid(), sa.ForeignKey("transactions.id"), nullable=False),
        _text("kind"),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        _units("max_fee"),
        _units("priority_fee"),
        _text("raw"),
        _moment("made_at"),
        _moment("handed_at", nullable=True),
        _text("outcome", nullable=True),
        _text("detail", nullable=True),
    )
    op.create_index(
        "transaction_variants_transaction", "transaction_variants", ["transaction_id", "made_at"]
    )
    op.execute(f"grant select, insert, update, delete on {TABLES} to bezant_service")
    # A signed transaction can be mined for ever: its bytes are never forgotten.
    op.execute("revoke delete on transaction_variants from bezant_service")


def _transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("network"),
        _text("wallet"),
        _text("purpose"),
        _text("reference"),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        _json("intent"),
        _json("spends"),
        _text("urgency"),
        _units("fee_cap", nullable=True),
        sa.Column("least_gas", sa.BigInteger(), nullable=True),
        _text("status"),
        _text("reason", nullable=True),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("gas", sa.BigInteger(), nullable=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        _moment("due_at"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("created_at"),
        _moment("sent_at", nullable=True),
        _moment("ended_at", nullable=True),
        _text("tx_hash", nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        _text("block_hash", nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=True),
        _units("gas_paid", nullable=True),
        _json("outflows", nullable=True),
        sa.UniqueConstraint("network", "wallet", "nonce", name="transactions_nonce"),
    )
    op.create_index("transactions_reference", "transactions", ["reference"])
    op.create_index(
        "transactions_due",
        "transactions",
        ["network", "due_at"],
        postgresql_where=sa.text("status in ('prepared','sent')"),
    )
    op.create_index(
        "transactions_open", "transactions", ["network"], postgresql_where=sa.text("open")
    )


def _text(name: str, **options: bool) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), **{"nullable": False, **options})  # type: ignore[arg-type]


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
