"""A chain for as long as a file; books of their own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Token
from core.secrets import SecretBox
from tests.integration.reconciliation.rig import ONE, Account, Rig
from tests.world import Deployed, World, add_merchant, connect, network_of
from tests.world import world as make_world

Chain = tuple[str, Deployed]


@pytest.fixture
async def desk(database: Database, database_url: str) -> Rig:
    """Only a venue and books: no chain is asked."""
    coin = Token(asset=crypto("ETH", 18), address=NATIVE)
    network = Network(
        id="eip155:31337", chain_id=31337, name="", rpc_urls=(), block_seconds=0, poll_ms=0,
        tokens=(coin,),
    )  # fmt: skip
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="",
    )
    account = Account(held={"ETH": 10 * ONE, "EUR": 5000 * ONE})
    world = World(context, {}, {}, {}, {}, await add_merchant(context))
    made = Rig(world, database_url, account, "exchanges")
    await made.open_venue()
    return made


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
