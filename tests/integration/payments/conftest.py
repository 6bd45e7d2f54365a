"""Worlds for these tests: chains live as long as a file, databases as long as a test.

Not longer: beyond some 1,100 blocks Anvil 1.7.1 loses contracts in an anvil_reorg of 12.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from core.db import Database
from tests.faultproxy import FaultProxy
from tests.world import Deployed, Node, World, anvil, chain, connect, network_of
from tests.world import world as make_world

Chain = tuple[str, Deployed]


@pytest.fixture
def own_chain() -> Iterator[Chain]:
    """For a test that would leave a chain behind which others cannot use."""
    with chain(31337) as made:
        yield made


@pytest.fixture(scope="module")
def second_chain() -> Iterator[Chain]:
    with chain(31338) as made:
        yield made


@pytest.fixture
async def world(database: Database, one_chain: Chain) -> AsyncIterator[World]:
    url, deployed = one_chain
    async with connect(url) as node:
        networks = {network_of(node, deployed): (node, deployed)}
        async with make_world(database, networks) as made:
            yield made


@pytest.fixture
async def two_networks(
    database: Database, one_chain: Chain, second_chain: Chain
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        networks = {}
        for number, (url, deployed) in ((31337, one_chain), (31338, second_chain)):
            node = await stack.enter_async_context(connect(url))
            networks[network_of(node, deployed, number)] = (node, deployed)
        yield await stack.enter_async_context(make_world(database, networks))


@pytest.fixture
async def twins(
    database: Database, one_chain: Chain
) -> AsyncIterator[tuple[World, FaultProxy, Node]]:
    """A world that looks through a proxy, and a second node with the same past."""
    url, deployed = one_chain
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(url))
        other_url = await asyncio.to_thread(stack.enter_context, anvil())
        other = await stack.enter_async_context(connect(other_url))
        await other.rpc("anvil_loadState", await node.rpc("anvil_dumpState"))
        proxy = await stack.enter_async_context(FaultProxy(url))
        network = network_of(node, deployed, rpc_urls=(proxy.url,))
        made = await stack.enter_async_context(make_world(database, {network: (node, deployed)}))
        yield made, proxy, other
