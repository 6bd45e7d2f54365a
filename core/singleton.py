"""Loops that run once in a whole installation: an advisory lock on a connection of their own.

The lock saves work, it does not protect: guard rows do (DESIGN 1, decision 4).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from core.db import Database, Raw

STANDBY_SECONDS = 1
CHECK_SECONDS = 5  # between two questions on the lock's connection


def lock_number(name: str) -> int:
    """A name -> the signed 64-bit number of its advisory lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class Lost(Exception):
    """The lock's connection is gone: somebody else may hold the lock now."""


class Held:
    """A lock that is held; `check` at each step."""

    def __init__(self, connection: Raw) -> None:
        self._connection = connection
        self._checked_at = time.monotonic()

    async def check(self) -> None:
        """Raises Lost when the server no longer answers on the lock's connection; asked now and
        then, however often the steps come."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        try:
            await self._connection.execute("select 1")
        except psycopg.Error as error:
            raise Lost from error


@asynccontextmanager
async def hold(database: Database, name: str) -> AsyncIterator[Held]:
    """Waits as a hot standby until the lock is ours, then holds it."""
    connection = await database.connect_alone()
    try:
        while True:
            cursor = await connection.execute(
                "select pg_try_advisory_lock(%s)", (lock_number(name),)
            )
            row = await cursor.fetchone()
            if row is not None and row[0]:
                break
            await asyncio.sleep(STANDBY_SECONDS)
        yield Held(connection)
    finally:
        await connection.close()
