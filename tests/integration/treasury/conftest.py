"""Funds at two scripted venues, and moves over a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db import Database
from tests.integration.treasury.converting import Converting, converting
from tests.integration.treasury.moving import Moving, open_moving
from tests.world import Deployed, connect


@pytest.fixture
async def desk(database: Database) -> Converting:
    made = converting(database)
    await made.open()
    return made


@pytest.fixture
async def moving(database: Database, one_chain: tuple[str, Deployed]) -> AsyncIterator[Moving]:
    url, deployed = one_chain
    async with connect(url) as node, open_moving(database, node, deployed) as made:
        yield made
