"""The migrations and the models say the same, and rights are as DESIGN 1 wants them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from core import ids
from core.db import SERVICE_ROLE, Database, driver_url
from core.schema import MIGRATIONS, current, migrate, newest
from migrations.models import METADATA
from tests.conftest import database_like

# What Alembic's own comparison leaves out: an index's condition, checks.
DETAILS = """
    select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version'
    union all
    select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace
"""


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    with database_like(server_url, "template0") as url:
        yield url


def details(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute(DETAILS)}


def test_models_and_migrations_agree(database_url: str) -> None:
    with create_engine(driver_url(database_url)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        assert current(connection) == newest()


def test_indexes_and_checks_agree(database_url: str, empty_url: str) -> None:
    engine = create_engine(driver_url(empty_url))
    METADATA.create_all(engine)
    engine.dispose()
    assert details(database_url) == details(empty_url)


def test_an_invoice_made_before_0022_is_answered_again(empty_url: str) -> None:
    """Its answer moves into the event that tells it; other answers stay where they are."""
    engine = create_engine(driver_url(empty_url))
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0021")
        connection.commit()
    engine.dispose()
    event, answer = ids.new(), '{"id":"inv_1","amount":"25.00"}'
    key = (
        "insert into idempotency_keys (scope, route, key, fingerprint, status, body, created_at)"
        " values (%s, %s, 'k', '', 201, %s, now())"
    )
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(
            "insert into events (id, type, subject, body, created_at)"
            " values (%s, 'invoice.created', 'inv_1', %s, now())",
            (event, f'{{"data":{{"object":{answer}}}}}'),
        )
        connection.execute(key, (ids.new(), "POST /v1/invoices", answer.encode()))
        connection.execute(key, (ids.new(), "POST /v1/payouts", b'{"id":"po_1"}'))
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        kept = connection.execute("select event_id, body from idempotency_keys order by route")
        assert kept.fetchall() == [(event, None), (None, b'{"id":"po_1"}')]


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)


async def test_services_own_nothing(database: Database) -> None:
    async with database.read() as session:
        assert await session.scalar(text("select current_user")) == SERVICE_ROLE
        owned = await session.scalar(
            text("select count(*) from pg_tables where tableowner = current_user")
        )
        assert owned == 0
