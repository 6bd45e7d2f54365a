"""A context over a fresh database, with two merchants in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox
from merchants import keys, merchants
from tests.unit.risk.world import CATALOG, NETWORK

# Nobody outside is asked, unless a test says so.
QUIET = Catalog(
    {name: replace(network, sanctions_oracle=None) for name, network in CATALOG.networks.items()}
)


@dataclass
class Shop:
    """Two merchants and their keys. `now` is the domain's time."""

    context: Context
    one: UUID
    two: UUID
    key: UUID

    @property
    def database(self) -> Database:
        return self.context.database

    @property
    def now(self) -> datetime:
        return self.context.clock.now()

    def configure(self, network: str = NETWORK, **changes: Any) -> None:
        """Changes a network's settings."""
        networks = self.context.catalog.networks
        self.context.catalog = Catalog(networks | {network: replace(networks[network], **changes)})

    def wait(self, seconds: float) -> None:
        """Moves the test clock."""
        self.context.clock.set_offset(self.context.clock.offset + timedelta(seconds=seconds))

    async def read(self, sql: str, *parameters: Any) -> list[Any]:
        async with self.database.statement() as connection:
            return list(await (await connection.execute(sql, parameters)).fetchall())


@pytest.fixture
async def context(database: Database) -> AsyncIterator[Context]:
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=QUIET,
        secrets=SecretBox({1: os.urandom(32)}),
        public_url="http://127.0.0.1:8000",
    )
    listening = asyncio.create_task(context.listener.run(("screenings",)))
    await context.listener.ready.wait()
    yield context
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@pytest.fixture
async def shop(context: Context) -> Shop:
    now = context.clock.now()
    async with context.database.begin() as session:
        one, _ = await merchants.create(session, context, "One", now=now)
        two, _ = await merchants.create(session, context, "Two", now=now)
        key, _ = await keys.create_key(session, one.id, ["*"], None, now)
        return Shop(context, one.id, two.id, key.id)
