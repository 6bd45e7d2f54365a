"""One PostgreSQL for the whole run, a database of its own for each test that asks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from core.db import Database, plain_url
from core.embedded import EmbeddedPostgres
from core.ids import new
from core.schema import migrate

TEMPLATE = "bezant_template"


def other_database(url: str, name: str) -> str:
    return plain_url(make_url(url).set(database=name).render_as_string(hide_password=False))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """BEZANT_TEST_DATABASE_URL's server if there is one, else the embedded one."""
    given = os.environ.get("BEZANT_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bezant-tests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        yield server.start()
        server.stop()


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a migrated, empty database."""
    name = f"{TEMPLATE}_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}")
        connection.execute(f"create database {name}")
    migrate(other_database(server_url, name))
    return name


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh database as its owner sees it."""
    name = f"t_{new().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    yield other_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database as the services see it."""
    database = Database(database_url)
    yield database
    await database.close()
