"""One Anvil for each file of tests, its token and its payer; followers with short waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from chain.blocks import Follower
from chain.endpoints import Endpoints
from core.money import crypto
from core.networks import NATIVE, Network, Token
from tests.contracts.chain import Chain, Contract, anvil
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books


@dataclass(frozen=True)
class World:
    chain: Chain
    network: Network
    token: Contract
    fee_token: Contract
    payer: Contract

    def mine(self, blocks: int = 1) -> None:
        self.chain.rpc("anvil_mine", hex(blocks))

    def head(self) -> int:
        return int(self.chain.rpc("eth_blockNumber"), 16)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with anvil() as chain:
        token = chain.create("SandboxToken", "USD Coin", "USDC", 6)
        fee_token = chain.create("FeeToken", "Fee", "FEE", 18)
        payer = chain.create("Payer")
        token.send("mint", chain.accounts[0], 10**15)
        fee_token.send("mint", chain.accounts[0], 10**24)
        network = Network(
            id="eip155:31337",
            chain_id=31337,
            name="Anvil",
            rpc_urls=(chain.url,),
            block_seconds=1,
            poll_ms=50,
            tokens=(
                Token(asset=crypto("ETH", 18), address=NATIVE),
                Token(asset=crypto("USDC", 6), address=token.address.lower()),
                Token(asset=crypto("FEE", 18), address=fee_token.address.lower(),
                      fee_on_transfer=True),
            ),
        )  # fmt: skip
        yield World(chain, network, token, fee_token, payer)


Follow = Callable[..., Follower]


@pytest.fixture
async def follow(world: World) -> AsyncIterator[Follow]:
    """Makes followers over the given URLs (else over the node itself); closed at the end."""
    async with AsyncExitStack() as stack:

        def make(
            *urls: str,
            network: Network | None = None,
            blocks_max: int = 2000,
            movements_max: int = 50_000,
            patience: float = 10,  # seconds; short where a proxy hangs on purpose
        ) -> Follower:
            made = replace(network or world.network, rpc_urls=urls or (world.chain.url,))
            endpoints = Endpoints(made, timeout=patience, short_timeout=patience)
            stack.push_async_callback(endpoints.close)
            return Follower(made, endpoints, blocks_max=blocks_max, movements_max=movements_max)

        yield make


@pytest.fixture
async def books(world: World, follow: Follow) -> Books:
    """Books that begin at the head of now."""
    return Books(await follow().start_cursor())


@pytest.fixture
async def proxy(world: World) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(world.chain.url) as made:
        yield made


@pytest.fixture
async def second(world: World) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(world.chain.url) as made:
        yield made
