"""Alembic's entry: the connection is handed over by `bezant migrate` and by the tests."""

from alembic import context

import webhooks.tables  # noqa: F401  (every table must be known to the comparison)
from core.db import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
