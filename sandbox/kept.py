"""What the kept books say at a start: the time they are at, and the chains they followed."""

from __future__ import annotations

import psycopg


async def clock_offset(url: str, known: int) -> int:
    """Seconds of the test clock; 0 where there is no row, `known` while the database is away."""
    try:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute("select offset_seconds from clock where id = 1")
            row = await cursor.fetchone()
    except psycopg.OperationalError:
        return known
    return row[0] if row else 0


def cursors(url: str) -> dict[str, tuple[str, int, str]]:
    """Network -> genesis, number and hash of the last block applied."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select network, genesis, number, hash from network_cursors"
        ).fetchall()
        return {row[0]: (row[1], row[2], row[3]) for row in rows}
