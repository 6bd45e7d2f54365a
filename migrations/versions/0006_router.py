"""Router quotes, relayed authorizations, x402."""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
