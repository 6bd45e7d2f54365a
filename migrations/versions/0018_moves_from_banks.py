"""Moves from banks to venues: what a venue shows of one, where it is not what left the bank."""

import sqlalchemy as sa
from alembic import op

import core.types

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "moves",
        sa.Column("shown", core.types.BaseUnits(precision=78, scale=0), nullable=True),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
