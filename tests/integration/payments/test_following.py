"""What a network must be before it is followed: tokens have the decimals that are configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from chain.endpoints import Endpoints
from core.db import Database
from core.errors import ChainError, Misconfigured
from core.money import crypto
from core.networks import Network
from payments.following import Following
from tests.faultproxy import FaultProxy
from tests.integration.payments.conftest import Chain
from tests.world import World, connect, network_of
from tests.world import world as make_world

ID = "eip155:31337"


@pytest.fixture
async def without_usdc(
    database: Database, one_chain: Chain
) -> AsyncIterator[tuple[World, FaultProxy]]:
    """A world that has never followed USDC yet, and looks through a proxy."""
    url, deployed = one_chain
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(url))
        proxy = await stack.enter_async_context(FaultProxy(url))
        tokens = tuple(t for s, t in deployed.tokens.items() if s != "USDC")
        network = network_of(node, deployed, rpc_urls=(proxy.url,), tokens=tokens)
        pairs = {network: (node, deployed)}
        yield await stack.enter_async_context(make_world(database, pairs)), proxy


def with_usdc(world: World, decimals: int = 6, address: str | None = None) -> Network:
    network, token = world.context.catalog.networks[ID], world.contracts.tokens["USDC"]
    asset = crypto("USDC", decimals)
    added = replace(token, asset=asset, address=address or token.address)
    return replace(network, tokens=(*network.tokens, added))


async def begin(world: World, network: Network) -> None:
    """A worker begins anew with these settings."""
    async with Endpoints(network) as endpoints:
        await Following(world.context, network, endpoints).start()


async def pinned(world: World) -> dict[str, int]:
    return {row.address: row.decimals for row in await world.rows("token_decimals")}


async def test_a_token_with_other_decimals_is_not_followed(
    without_usdc: tuple[World, FaultProxy],
) -> None:
    world, _ = without_usdc
    usdc, before = world.contracts.tokens["USDC"].address, await pinned(world)
    with pytest.raises(Misconfigured, match=f"USDC: .*{usdc} says decimals 6, 18 is configured"):
        await begin(world, with_usdc(world, 18))
    for nothing in (world.contracts.payer, "0x" + "77" * 20):
        with pytest.raises(Misconfigured, match=r"answers no decimals\(\), 6 is configured"):
            await begin(world, with_usdc(world, address=nothing))
    assert await pinned(world) == before
    await begin(world, with_usdc(world))
    assert await pinned(world) == before | {usdc: 6}


async def test_what_nobody_answers_is_no_wrong_setting(
    without_usdc: tuple[World, FaultProxy],
) -> None:
    world, proxy = without_usdc
    usdc = world.contracts.tokens["USDC"].address
    proxy.refuse(-32005, "rate limit reached", method="eth_call", times=1)
    with pytest.raises(ChainError):
        await begin(world, with_usdc(world))
    assert usdc not in await pinned(world)
    await begin(world, with_usdc(world))
    assert (await pinned(world))[usdc] == 6


async def test_decimals_are_read_once(without_usdc: tuple[World, FaultProxy]) -> None:
    """A setting that changes later is refused without a node; a contract that does is not asked."""
    world, proxy = without_usdc
    await begin(world, with_usdc(world))
    proxy.clear()
    proxy.edit(lambda _: f"0x{18:064x}", method="eth_call", times=None)
    await begin(world, with_usdc(world))
    assert proxy.count("eth_call") == 0
    proxy.http(502, times=None)
    with pytest.raises(Misconfigured, match="says decimals 6, 18 is configured"):
        await begin(world, with_usdc(world, 18))
