"""Whether the worker has the venues' books: without them nothing is quoted, and no price has its
second source."""

from __future__ import annotations

import asyncio

import psycopg

from core.clock import wall
from core.db import Raw, plain_url
from exchanges.types import Venue
from prices import second

PATIENCE_SECONDS = 8  # payments need none of them


async def awaited(database_url: str) -> list[str]:
    """Waits until every market of every venue has a book that may be used; what is missing after
    PATIENCE_SECONDS."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    url = plain_url(database_url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while missing := await _missing(connection):
            if loop.time() > deadline:
                return missing
            await asyncio.sleep(0.05)
    return []


async def _missing(connection: Raw) -> list[str]:
    mids = await second.load(connection, wall())
    every = [(pair, mid) for pair, found in mids.items() for mid in found]
    unlisted = {str(venue) for venue in Venue} - {mid.venue for _, mid in every}
    refused = {f"{m.venue} {'/'.join(pair)} {m.refused}" for pair, m in every if m.refused}
    return sorted(unlisted | refused)
