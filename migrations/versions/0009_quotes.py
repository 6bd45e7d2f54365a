"""What the venues said last, and the quotes that rest on it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "venue_markets",
        *_keys("venue", "symbol"),
        _text("native"),
        _text("base"),
        _text("quote"),
        _units("tick"),
        _units("step"),
        _units("min_quantity"),
        _units("max_quantity", nullable=True),
        _units("min_notional"),
        _units("max_notional", nullable=True),
        _units("taker_fee"),
        sa.Column("trading", sa.Boolean(), nullable=False),
        _moment("read_at"),
    )
    op.create_table(
        "venue_books",
        *_keys("venue", "symbol"),
        _json("bids"),
        _json("asks"),
        _units("best_bid", nullable=True),
        _units("best_ask", nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        _moment("at"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "venue_streams",
        *_keys("venue"),
        _moment("alive_at", nullable=True),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.Text()),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "venue_balances",
        *_keys("venue", "asset"),
        _units("free"),
        _units("locked"),
        _moment("read_at"),
    )
    op.create_table(
        "treasury_quotes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("from_asset"),
        _text("to_asset"),
        _text("side"),
        _units("asked_amount"),
        _units("from_amount"),
        _units("to_amount"),
        _units("price"),
        _json("plan"),
        _json("oracle"),
        _json("evidence"),
        _json("alternatives"),
        _json("refused"),
        _moment("created_at"),
        _moment("expires_at"),
        sa.Column("conversion_id", sa.Uuid(), nullable=True, unique=True),
    )
    # Written up to four times a second: not worth compressing, and never worth keeping.
    for side in ("bids", "asks"):
        op.execute(f"alter table venue_books alter column {side} set storage external")
    for table in ("venue_books", "venue_streams"):
        op.execute(
            f"alter table {table} set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_threshold = 500)"
        )
        op.execute(f"grant select, insert, update, delete on {table} to bezant_service")
    op.execute("grant select, insert, update, delete on venue_markets to bezant_service")
    op.execute("grant select, insert, update, delete on venue_balances to bezant_service")
    op.execute("grant select, insert, update on treasury_quotes to bezant_service")


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), primary_key=True) for name in names]


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
