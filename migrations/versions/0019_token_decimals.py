"""Decimals of tokens, as their contracts said them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty: each network reads them when it is next followed.
    op.create_table(
        "token_decimals",
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("grant select, insert on token_decimals to bezant_service")


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
