"""Moves, the addresses of venues, what is expected at addresses of the house."""

import sqlalchemy as sa
from alembic import op

import core.types

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moves",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("way"),
        _text("asset"),
        _units("amount"),
        _text("network", nullable=True),
        _text("source"),
        _text("destination"),
        _text("venue", nullable=True),
        _text("status"),
        _text("reason", nullable=True),
        _text("trigger"),
        _text("initiator"),
        _text("address", nullable=True),
        _text("sender", nullable=True),
        _flag("signs"),
        _flag("checked"),
        _flag("short"),
        _flag("cancelled"),
        _text("refused", nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        _text("tx_hash", nullable=True),
        _integer("sends"),
        _moment("sent_at", nullable=True),
        _moment("unknown_since", nullable=True),
        _integer("absent"),
        _moment("absent_since", nullable=True),
        _moment("absent_at", nullable=True),
        _moment("told_at", nullable=True),
        _flag("written_off"),
        _text("venue_id", nullable=True),
        _text("venue_status", nullable=True),
        _units("booked"),
        _units("booked_fee"),
        _integer("bookings"),
        _units("blocked"),
        _integer("version"),
        _moment("created_at"),
        _moment("finished_at", nullable=True),
        _moment("ended_at", nullable=True),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    _addresses()
    op.add_column("house_movements", _text("reference", nullable=True))
    op.execute(
        "grant select, insert, update on moves, venue_addresses, expected_inflows to bezant_service"
    )
    _indexes()


def _addresses() -> None:
    op.create_table(
        "venue_addresses",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("venue"),
        _text("asset"),
        _text("network"),
        _text("address"),
        _text("status"),
        _moment("seen_at"),
        _moment("decided_at", nullable=True),
        _text("decided_by", nullable=True),
        sa.UniqueConstraint("venue", "asset", "network", "address", name="venue_address"),
    )
    op.create_table(
        "expected_inflows",
        sa.Column("reference", sa.Text(), primary_key=True),
        _text("network"),
        _text("address"),
        _text("asset"),
        _units("amount"),
        _text("sender", nullable=True),
        _text("tx_hash", nullable=True),
        _flag("arrived"),
        _flag("closed"),
        _moment("created_at"),
    )


def _indexes() -> None:
    for table, name, columns, where, unique in (
        ("moves", "due", ["due_at"], "due_at is not null", False),
        ("moves", "blocking", ["venue"], "blocked > 0", False),
        ("moves", "venue", ["venue", "venue_id"], None, False),
        (
            "moves",
            "policy",
            ["network", "asset"],
            "trigger = 'policy' and status not in ('done', 'failed')",
            True,
        ),
        (
            "expected_inflows",
            "open",
            ["network"],
            "tx_hash is null and not closed and not arrived",
            False,
        ),
        ("expected_inflows", "hash", ["network", "tx_hash"], None, False),
        ("house_movements", "awaited", ["network"], "meaning = 'awaited'", False),
        ("house_movements", "hash", ["network", "tx_hash"], None, False),
    ):
        condition = sa.text(where) if where else None
        op.create_index(
            f"{table}_{name}", table, columns, unique=unique, postgresql_where=condition
        )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _units(name: str) -> sa.Column[int]:
    return sa.Column(name, core.types.BaseUnits(precision=78, scale=0), nullable=False)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
