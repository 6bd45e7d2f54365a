"""Conversions, their orders, and the fills in the books."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import core.types

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("quote_id", sa.Uuid(), nullable=False, unique=True),
        _text("status"),
        _text("reason", nullable=True),
        _text("from_asset"),
        _text("to_asset"),
        _json("plan"),
        _units("given"),
        _units("got"),
        _json("against_quote"),
        _text("initiator"),
        _moment("valid_until"),
        _moment("created_at"),
        _moment("finished_at", nullable=True),
    )
    _orders()
    _fills()
    op.execute("grant select, insert, update on conversions, orders to bezant_service")
    op.execute("grant select, insert on fills to bezant_service")
    op.execute(
        "create trigger append_only before update or delete or truncate on fills"
        " for each statement execute function refuse_change()"
    )
    _indexes()


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("conversion_id", sa.Uuid(), sa.ForeignKey("conversions.id"), nullable=False),
        _integer("path"),
        _integer("step"),
        _integer("attempt"),
        _text("venue"),
        _text("symbol"),
        _text("side"),
        _units("quantity"),
        _units("limit_price"),
        _text("from_asset"),
        _text("to_asset"),
        _text("client_id"),
        _moment("created_at"),
        _moment("send_until"),
        _text("status"),
        _text("reason", nullable=True),
        _integer("sends"),
        _moment("sent_at", nullable=True),
        sa.Column("refused", sa.Boolean(), nullable=False),
        _moment("unknown_since", nullable=True),
        _integer("absent"),
        _moment("absent_since", nullable=True),
        _moment("absent_at", nullable=True),
        _moment("told_at", nullable=True),
        sa.Column("written_off", sa.Boolean(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        _text("venue_id", nullable=True),
        _text("venue_status", nullable=True),
        _units("venue_filled"),
        _text("differs", nullable=True),
        _units("booked"),
        _units("booked_quote"),
        _units("given"),
        _units("got"),
        _json("fees"),
        _units("blocked"),
        _units("held"),
        _moment("ended_at", nullable=True),
        _integer("version"),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
        sa.UniqueConstraint("venue", "client_id", name="orders_client_id"),
        sa.UniqueConstraint("conversion_id", "path", "step", "attempt", name="orders_place"),
    )


def _fills() -> None:
    op.create_table(
        "fills",
        _text("venue", primary_key=True),
        _text("symbol", primary_key=True),
        _text("fill_id", primary_key=True),
        _text("venue_order_id"),
        sa.Column("order_id", sa.Uuid(), sa.ForeignKey("orders.id"), nullable=True),
        _text("side"),
        _units("price"),
        _units("quantity"),
        _units("quote_quantity"),
        _units("fee"),
        _text("fee_asset"),
        sa.Column("entry_id", sa.Uuid(), sa.ForeignKey("journal_entries.id"), nullable=False),
        _moment("at"),
        _moment("booked_at"),
    )


def _indexes() -> None:
    for table, name, columns, where in (
        ("orders", "due", ["due_at"], "due_at is not null"),
        ("orders", "blocking", ["venue"], "blocked > 0 or held > 0"),
        ("orders", "venue_id", ["venue", "venue_id"], None),
        ("fills", "order", ["order_id"], None),
        ("fills", "venue_order", ["venue", "venue_order_id"], None),
        ("fills", "at", ["venue", "at"], None),
    ):
        condition = sa.text(where) if where else None
        op.create_index(f"{table}_{name}", table, columns, postgresql_where=condition)


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
