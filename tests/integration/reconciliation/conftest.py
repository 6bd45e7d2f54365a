"""A chain for as long as a file; books of their own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db import Database
from tests.integration.reconciliation.rig import ONE, Account, Rig
from tests.world import Deployed, chain, connect, network_of
from tests.world import world as make_world

Chain = tuple[str, Deployed]


@pytest.fixture(scope="module")
def one_chain() -> Iterator[Chain]:
    with chain(31337) as made:
        yield made


@pytest.fixture
async def rig(database: Database, database_url: str, one_chain: Chain) -> AsyncIterator[Rig]:
    url, deployed = one_chain
    account = Account(held={"ETH": 10 * ONE, "EUR": 5000 * ONE})
    async with (
        connect(url) as node,
        make_world(database, {network_of(node, deployed): (node, deployed)}) as world,
    ):
        made = Rig(world, database_url, account)
        await made.begin()
        yield made
