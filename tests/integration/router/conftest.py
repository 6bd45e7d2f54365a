"""Tills: chains live as long as a file, databases as long as a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db import Database
from tests.integration.router.rig import Till, open_till
from tests.world import Deployed, chain

Chain = tuple[str, Deployed]


@pytest.fixture(scope="module")
def second_chain() -> Iterator[Chain]:
    with chain(31338) as made:
        yield made


@pytest.fixture
async def till(database: Database, one_chain: Chain) -> AsyncIterator[Till]:
    async with open_till(database, one_chain) as made:
        yield made


@pytest.fixture
async def two_tills(
    database: Database, one_chain: Chain, second_chain: Chain
) -> AsyncIterator[Till]:
    async with open_till(database, one_chain, second_chain) as made:
        yield made
