"""A refund of what was rejected on its way to a customer's wallet has a deposit and no invoice."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("refunds", "invoice_id", nullable=True)
    op.create_check_constraint(
        "refunds_of", "refunds", "invoice_id is not null or deposit_id is not null"
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
