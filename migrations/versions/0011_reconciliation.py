"""Runs of the reconciliation, what they leave for the next one, and who looks after a Break."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _runs()
    _beside()
    _breaks()
    op.execute("grant select, insert, update on reconciliation_runs to bezant_service")
    op.execute("grant select, insert, update on reconciliation_schedule to bezant_service")
    op.execute("grant select, insert, update on reconciliation_marks to bezant_service")
    op.execute("grant select, insert, delete on reconciliation_addresses to bezant_service")


def _runs() -> None:
    op.create_table(
        "reconciliation_runs",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _text("scope"),
        _text("status"),
        _text("trigger"),
        _text("initiator"),
        _json("blocks"),
        _json("venues"),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        _json("facts"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("created_at"),
        _moment("started_at", nullable=True),
        _moment("finished_at", nullable=True),
        _moment("due_at", nullable=True),
        _moment("leased_until", nullable=True),
    )
    op.create_index(
        "reconciliation_runs_due",
        "reconciliation_runs",
        ["due_at"],
        postgresql_where=sa.text("due_at is not null"),
    )


def _beside() -> None:
    op.create_table(
        "reconciliation_schedule",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        _moment("due_at"),
    )
    op.create_table(
        "reconciliation_marks",
        _text("name", primary_key=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        _text("hash"),
        _moment("at"),
    )
    # Only for the length of a run, which is taken again when it is lost.
    op.create_table(
        "reconciliation_addresses",
        sa.Column("run_id", sa.Uuid(), primary_key=True),
        _text("network", primary_key=True),
        sa.Column("n", sa.BigInteger(), primary_key=True, autoincrement=False),
        _text("address"),
        _json("held", nullable=True),
        prefixes=["UNLOGGED"],
    )


def _breaks() -> None:
    op.add_column("breaks", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.add_column("breaks", _moment("acknowledged_at", nullable=True))
    op.add_column("breaks", _text("resolved_by", nullable=True))
    op.add_column("breaks", sa.Column("entry_id", sa.Uuid(), nullable=True))
    op.create_index(
        "breaks_run", "breaks", ["run_id"], postgresql_where=sa.text("run_id is not null")
    )


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
