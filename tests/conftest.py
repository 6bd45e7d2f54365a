"""One PostgreSQL for the whole run, a database of its own for each test that asks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy.engine import make_url

from core.db import Database, plain_url
from core.embedded import EmbeddedPostgres
from core.ids import new
from core.schema import migrate
from tests.folders import folder
from tests.settings import SEED
from tests.world import Deployed, chain

TEMPLATE = "bezant_template"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis draws from the same seed as all else, unless it is given one; under CI, too, where
    it would take the same examples for ever."""
    settings.register_profile("bezant", settings.default, derandomize=False)
    settings.load_profile("bezant")
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    return f"BEZANT_SEED={SEED}"


def other_database(url: str, name: str) -> str:
    return plain_url(make_url(url).set(database=name).render_as_string(hide_password=False))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """BEZANT_TEST_DATABASE_URL's server if there is one, else the embedded one."""
    given = os.environ.get("BEZANT_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with folder("bezant-tests-") as directory:
        server = EmbeddedPostgres(directory / "pg")
        url = server.start()
        _hurry(url)
        yield url
        server.stop()


def _hurry(url: str) -> None:
    """Nothing here outlives the run, so nothing need reach a disk. (Those who crash a database
    crash a sandbox's.)"""
    settings = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "'256MB'"}
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"alter system set {name} = {value}")
        connection.execute("select pg_reload_conf()")


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a migrated, empty database."""
    name = f"{TEMPLATE}_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}")
        connection.execute(f"create database {name}")
    migrate(other_database(server_url, name))
    return name


@contextmanager
def database_like(server_url: str, template: str) -> Iterator[str]:
    """A fresh database as its owner sees it."""
    name = f"t_{new().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy")
    yield other_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    with database_like(server_url, template) as url:
        yield url


@pytest.fixture(scope="module")
def one_chain() -> Iterator[tuple[str, Deployed]]:
    """A real chain for as long as a file: its URL, and what is deployed there."""
    with chain(31337) as made:
        yield made


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database as the services see it."""
    database = Database(database_url)
    yield database
    await database.close()
