"""The schema: migrate to the newest revision, and tell which one a database has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, text

from core.db import SERVICE_ROLE, driver_url
from core.singleton import lock_number

if TYPE_CHECKING:  # the services only compare: Alembic costs them half a second of their start
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_NAMED = re.compile(r'^(revision|down_revision)\b.*= "(\w+)"$', re.MULTILINE)


def _config(connection: Any = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@cache
def newest() -> str | None:
    """The revision this code wants: the one that no other follows."""
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for file in (MIGRATIONS / "versions").glob("*.py"):
        for name, value in _NAMED.findall(file.read_text()):
            found[name].add(value)
    return max(found["revision"] - found["down_revision"], default=None)


def current(connection: Connection) -> str | None:
    """The revision a database has; None when it is empty."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def migrate(url: str) -> None:
    """Brings the database to the newest revision and gives the service role its rights.

    `url`'s role must own the tables and may create roles (or the service role exists already
    and may be granted). Processes that start together migrate one after the other.
    """
    from alembic import command

    engine = create_engine(driver_url(url))
    try:
        with engine.connect() as connection:
            connection.execute(
                text("select pg_advisory_lock(:n)"), {"n": lock_number("bezant:migrate")}
            )
            connection.commit()
            _make_role(connection)
            command.upgrade(_config(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def _make_role(connection: Connection) -> None:
    """The role is the cluster's, not the database's: another database may have made it."""
    connection.execute(
        text(
            f"do $$ begin create role {SERVICE_ROLE} nologin;"
            " exception when duplicate_object or unique_violation then null; end $$"
        )
    )
    connection.execute(
        text(
            f"do $$ begin grant {SERVICE_ROLE} to current_user;"
            " exception when unique_violation or internal_error then null; end $$"
        )
    )
    connection.commit()
