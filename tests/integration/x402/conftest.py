"""A chain lives as long as a file, a shop as long as a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db import Database
from tests.integration.x402.shop import Shop, open_shop
from tests.world import Deployed, chain


@pytest.fixture(scope="module")
def anvil_chain() -> Iterator[tuple[str, Deployed]]:
    with chain(31337) as made:
        yield made


@pytest.fixture
async def shop(database: Database, anvil_chain: tuple[str, Deployed]) -> AsyncIterator[Shop]:
    async with open_shop(database, anvil_chain) as made:
        yield made
