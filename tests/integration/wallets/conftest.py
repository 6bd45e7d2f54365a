"""A chain for as long as a file, a database and a fresh wallet for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db import Database
from tests.integration.wallets.rig import Rig, make_rig
from tests.world import Deployed, chain, connect

Chain = tuple[str, Deployed]


@pytest.fixture
def own_chain() -> Iterator[Chain]:
    """For a test that forks, raises the base fee, or needs a wallet's first nonce."""
    with chain(31337) as made:
        yield made


@pytest.fixture
async def rig(database: Database, one_chain: Chain) -> AsyncIterator[Rig]:
    url, deployed = one_chain
    async with connect(url) as node, make_rig(database, node, deployed) as made:
        yield made


@pytest.fixture
async def alone(database: Database, own_chain: Chain) -> AsyncIterator[Rig]:
    """On a chain of its own, for a test that forks or raises its base fee."""
    url, deployed = own_chain
    async with connect(url) as node, make_rig(database, node, deployed) as made:
        yield made
