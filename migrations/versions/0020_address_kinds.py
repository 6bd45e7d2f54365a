"""What stands at a payout's destination, as the chain said before it was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: not known. An approval keeps what its approvers were shown, a request what rules saw.
    for table in ("payouts", "payout_approvals", "policy_requests"):
        op.add_column(table, sa.Column("address_kind", sa.Text()))


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
