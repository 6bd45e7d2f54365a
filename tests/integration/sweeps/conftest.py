"""A chain for as long as a file, a database, a signer and fresh books for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db import Database
from tests.integration.sweeps.sweeping import Sweeping, make_sweeping
from tests.world import Deployed, connect

Chain = tuple[str, Deployed]


@pytest.fixture
async def sweeping(database: Database, one_chain: Chain) -> AsyncIterator[Sweeping]:
    url, deployed = one_chain
    async with connect(url) as node, make_sweeping(database, node, deployed) as made:
        yield made
