"""What a connection promises before anybody uses it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from core.db import KEEPALIVES, REST_SECONDS, SERVICE_ROLE, Database, raw, session_settings
from tests.waiting import eventually

SETTINGS = "select current_setting('role'), current_setting('idle_in_transaction_session_timeout')"


async def test_every_connection_is_the_services_and_rests_not_long(database: Database) -> None:
    expected = (SERVICE_ROLE, f"{REST_SECONDS // 60}min")
    async with database.begin() as session:
        assert tuple((await session.execute(text(SETTINGS))).one()) == expected
        connection = await raw(session)
        assert await (await connection.execute(SETTINGS)).fetchone() == expected
    async with database.statement() as connection:
        assert await (await connection.execute(SETTINGS)).fetchone() == expected
    alone = await database.connect_alone()
    assert await (await alone.execute(SETTINGS)).fetchone() == expected
    await alone.close()


async def test_what_a_busy_moment_opened_is_closed_again(database_url: str) -> None:
    database = Database(database_url, idle_seconds=0)
    count = "select count(*) from pg_stat_activity where datname = current_database()"

    async def ask() -> int:
        async with database.statement() as connection:
            row = await (await connection.execute(count)).fetchone()
            assert row is not None
            return int(row[0])

    async with AsyncExitStack() as busy:
        for _ in range(4):
            await busy.enter_async_context(database.statement())
        assert await ask() >= 5

    async def few() -> bool:
        return await ask() <= 2  # the server may see a goodbye a moment later

    await eventually(few)
    await database.close()


@pytest.mark.parametrize(
    ("url", "tcp"),
    [
        ("postgresql://postgres:@/postgres?host=/tmp/socket", False),
        ("postgresql://bezant:secret@db.example:5432/bezant", True),
        ("postgresql:///bezant?host=db.example", True),
    ],
)
def test_a_silent_peer_is_given_up_over_tcp(url: str, tcp: bool) -> None:
    found = session_settings(url).decode()
    assert all((f"set {name} = {value}" in found) == tcp for name, value in KEEPALIVES.items())
