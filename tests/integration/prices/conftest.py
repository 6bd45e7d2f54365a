"""Mock feeds on a real Anvil, and an oracle over a fresh database that reads them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.errors import PriceUnavailable
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Feed, Network, Token
from core.secrets import SecretBox
from prices.book import PriceBook, load
from prices.oracle import Oracle
from prices.rates import unix
from tests.contracts.chain import Chain, Contract, anvil

USD = 10**8
START = {"ETH": 2500 * USD, "EUR": 11 * USD // 10}


@pytest.fixture(scope="session")
def node() -> Iterator[Chain]:
    with anvil() as chain:
        yield chain


@pytest.fixture
def chain(node: Chain) -> Iterator[Chain]:
    snapshot = node.rpc("evm_snapshot")
    yield node
    node.rpc("evm_revert", snapshot)


def feed(base: str, contract: Contract) -> Feed:
    return Feed(
        base=base,
        quote="USD",
        address=contract.address.lower(),
        decimals=8,
        heartbeat_seconds=3600,
        grace_seconds=300,
        minimum=START[base] // 100,
        maximum=START[base] * 100,
        largest_jump_percent=20,
        description=f"{base} / USD",
    )


@dataclass
class World:
    """A context, one network with feeds ETH/USD and EUR/USD, and its oracle."""

    context: Context
    network: Network
    chain: Chain
    feeds: dict[str, Contract]
    endpoints: list[Endpoints] = field(default_factory=list)

    def oracle(self, network: Network | None = None) -> Oracle:
        """A new one, as after a restart."""
        network = network or self.network
        endpoints = Endpoints(network, timeout=2)
        self.endpoints.append(endpoints)
        return Oracle(self.context, network, endpoints)

    def configure(self, **changes: Any) -> Network:
        self.network = replace(self.network, **changes)
        self.context.catalog.networks[self.network.id] = self.network
        return self.network

    def now(self) -> int:
        return unix(self.context.clock.now())

    def set(self, base: str, answer: int, *, age: int = 0) -> None:
        """The feed's next round, `age` seconds old."""
        self.feeds[base].send("set", answer, self.now() - age)

    def set_round(self, base: str, id_: int, answer: int, updated_at: int) -> None:
        self.feeds[base].send("setRound", id_, answer, updated_at, updated_at, id_)

    async def book(self) -> PriceBook:
        async with self.context.database.statement() as connection:
            return await load(connection)

    async def price(self, base: str = "ETH", quote: str = "USD") -> int | str:
        """The rate, or why the first refused source is refused."""
        try:
            return (await self.book()).rate(base, quote, self.context.clock.now()).price
        except PriceUnavailable as error:
            refused = [str(s["refused"]) for s in error.extra["sources"] if "refused" in s]
            return refused[0] if refused else "never read"

    async def read(self, sql: str) -> list[Any]:
        async with self.context.database.statement() as connection:
            return [row[0] for row in await (await connection.execute(sql)).fetchall()]

    async def events(self) -> list[str]:
        return await self.read("select type || ' ' || subject from events order by id")


@pytest.fixture
async def world(database: Database, chain: Chain) -> AsyncIterator[World]:
    clock = Clock()
    feeds = {
        base: chain.create("MockAggregator", f"{base} / USD", 8, answer)
        for base, answer in START.items()
    }
    network = Network(
        id="eip155:31337",
        chain_id=31337,
        name="Anvil",
        rpc_urls=(chain.url,),
        block_seconds=1,
        poll_ms=100,
        tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
        feeds=tuple(feed(base, contract) for base, contract in feeds.items()),
    )
    context = Context(
        database=database,
        clock=clock,
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: os.urandom(32)}),
        public_url="http://127.0.0.1:8000",
    )
    # reverting to a snapshot does not take Anvil's clock back to ours
    head = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    clock.set_offset(max(timedelta(), timedelta(seconds=head - unix(clock.now()))))
    world = World(context, network, chain, feeds)
    yield world
    for endpoints in world.endpoints:
        await endpoints.close()
