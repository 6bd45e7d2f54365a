"""Alembic's entry: the connection is handed over by `bezant migrate` and by the tests."""

from alembic import context

from migrations.models import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
