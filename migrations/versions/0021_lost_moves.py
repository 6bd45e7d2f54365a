"""What a person has written off of a move, and what would bring it after all."""

import sqlalchemy as sa
from alembic import op

import core.types

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    units = core.types.BaseUnits(precision=78, scale=0)
    op.add_column("moves", sa.Column("lost", units, nullable=False, server_default="0"))
    op.add_column(
        "expected_inflows",
        sa.Column("lost", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
