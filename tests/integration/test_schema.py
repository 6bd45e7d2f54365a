"""The migrations and the models say the same, and rights are as DESIGN 1 wants them."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from core.db import SERVICE_ROLE, Database, driver_url
from core.schema import current, migrate, newest
from migrations.models import METADATA


def test_models_and_migrations_agree(database_url: str) -> None:
    with create_engine(driver_url(database_url)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        assert current(connection) == newest()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)


async def test_services_own_nothing(database: Database) -> None:
    async with database.read() as session:
        assert await session.scalar(text("select current_user")) == SERVICE_ROLE
        owned = await session.scalar(
            text("select count(*) from pg_tables where tableowner = current_user")
        )
        assert owned == 0
