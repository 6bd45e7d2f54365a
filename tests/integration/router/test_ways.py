"""However a network is read: with either kind of traces or none, from far behind, by two nodes."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from core.db import Database
from core.networks import Traces
from tests.faultproxy import FaultProxy
from tests.integration.payments.facts import assert_sound, breaks
from tests.integration.router.conftest import Chain
from tests.integration.router.rig import open_till, units

TREASURY = "network:eip155:31337:treasury"


@pytest.mark.parametrize("traces", Traces)
async def test_traces(database: Database, one_chain: Chain, traces: Traces) -> None:
    async with open_till(database, one_chain, traces=traces) as till:
        world = till.world
        paid = {}
        for asset in ("ETH", "USDC"):
            invoice = await world.invoice()
            quote = await till.quote(invoice, asset)
            await till.pay(quote)
            paid[asset] = units(quote)
        await world.mine(3)
        await world.follow()
        balances = await world.balances()
        for asset, amount in paid.items():
            assert balances[TREASURY, asset] == amount == -balances["available", asset]
        assert await breaks(world) == []
        assert await world.rows("house_movements") == []


async def test_from_far_behind(database: Database, one_chain: Chain) -> None:
    """Read by ranges of blocks, with others' blocks between."""
    async with open_till(database, one_chain) as till:
        world = till.world
        total = 0
        for asset in ("ETH", "ETH", "USDC"):
            quote = await till.quote(await world.invoice(), asset)
            await till.pay(quote)
            await world.mine(70)
            total += units(quote) if asset == "ETH" else 0
        await world.follow()
        balances = await world.balances()
        assert balances[TREASURY, "ETH"] == total == -balances["available", "ETH"]
        assert await breaks(world) == []
        await assert_sound(world)


async def test_a_second_node_has_to_show_it_too(database: Database, one_chain: Chain) -> None:
    url, _ = one_chain
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(FaultProxy(url)) for _ in range(2)]
        settings = {"rpc_urls": (first.url, second.url), "second_endpoint_above": 1000}
        till = await stack.enter_async_context(open_till(database, one_chain, **settings))
        world = till.world
        invoice = await world.invoice()
        quote = await till.quote(invoice)
        second.freeze(await world.node.head())
        await till.pay(quote)
        await world.mine(3)
        await world.follow()
        [deposit] = (await world.show(invoice))["deposits"]
        assert (deposit["status"], deposit["waiting_for"]) == ("pending", "second_endpoint")
        second.thaw()
        await world.mine()
        await world.follow()
        assert (await world.show(invoice))["status"] == "settled"
