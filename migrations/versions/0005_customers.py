"""Customers' wallets and instant transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("deposits_held", "deposits", ["id"], postgresql_where=sa.text("held"))


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
