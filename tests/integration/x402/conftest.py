"""A chain lives as long as a file, a shop as long as a test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db import Database
from tests.integration.x402.shop import Shop, open_shop
from tests.world import Deployed


@pytest.fixture
async def shop(database: Database, one_chain: tuple[str, Deployed]) -> AsyncIterator[Shop]:
    async with open_shop(database, one_chain) as made:
        yield made
