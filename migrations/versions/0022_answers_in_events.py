"""An invoice's first answer is kept in its event alone; references are indexed if there is one."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("event_id", sa.Uuid()))
    op.alter_column("idempotency_keys", "body", nullable=True)
    op.execute("""
        update idempotency_keys k set body = null, event_id = e.id from events e
        where k.route = 'POST /v1/invoices' and e.type = 'invoice.created'
            and e.subject = convert_from(k.body, 'UTF8')::json ->> 'id'
    """)
    op.create_check_constraint(
        "idempotency_keys_answer", "idempotency_keys", "(body is null) <> (event_id is null)"
    )
    op.drop_index("invoices_reference", "invoices")
    op.create_index(
        "invoices_reference",
        "invoices",
        ["merchant_id", "reference"],
        postgresql_where=sa.text("reference is not null"),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger is not taken apart; restore a backup instead")
