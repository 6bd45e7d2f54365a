"""Hot wallets, outgoing transactions and their variants."""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
