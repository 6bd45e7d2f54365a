"""What a connection promises before anybody uses it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from core.db import KEEPALIVES, REST_SECONDS, SERVICE_ROLE, Database, raw, session_settings

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
