"""ETH that no transaction brings: what a validator earns for a block, and what it withdraws."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from core.db import Database
from tests.faultproxy import FaultProxy
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import assert_sound, status_of
from tests.world import World, connect, network_of
from tests.world import world as make_world

GWEI = 10**9
PLACE = "network:eip155:31337:deposits"


@pytest.fixture
async def behind(database: Database, one_chain: Chain) -> AsyncIterator[tuple[World, FaultProxy]]:
    """A world that looks through a proxy: Anvil has no validators."""
    url, deployed = one_chain
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(url))
        proxy = await stack.enter_async_context(FaultProxy(url))
        pairs = {network_of(node, deployed, rpc_urls=(proxy.url,)): (node, deployed)}
        yield await stack.enter_async_context(make_world(database, pairs)), proxy


async def test_a_reward_is_a_deposit(world: World) -> None:
    node, invoice = world.node, await world.invoice("0.01")
    to = invoice["payment_options"][0]["address"]
    await node.rpc("anvil_setCoinbase", to)
    await node.send(node.accounts[4], 1, sender=3)
    await node.rpc("anvil_setCoinbase", "0x" + "00" * 20)
    earned = await node.balance(to)
    await world.follow()
    [seen] = await world.rows("deposits")
    assert (seen.tx_hash, seen.position, seen.sender) == ("", "reward", "")
    assert (seen.amount, seen.address, seen.status) == (earned, to.lower(), "pending")
    assert await world.balances() == {(PLACE, "ETH"): earned, ("pending", "ETH"): -earned}
    await assert_sound(world)
    await world.mine(3)
    await world.follow()
    assert (await status_of(world, invoice))[0] == "settled"
    assert await world.balances() == {(PLACE, "ETH"): earned, ("available", "ETH"): -earned}
    await assert_sound(world)
    await node.reorg(4)
    await world.follow()
    assert await status_of(world, invoice) == ("new", "reversed")
    assert await world.balances() == {}
    await assert_sound(world)


async def test_withdrawals_are_deposits_of_their_own(behind: tuple[World, FaultProxy]) -> None:
    """Two to one address and one to another, in one block without a transaction."""
    world, proxy = behind
    node, made = world.node, [await world.invoice(), await world.invoice()]
    one, two = (i["payment_options"][0]["address"].lower() for i in made)
    given = [(one, 4 * 10**6), (one, 6 * 10**6), (two, 10**7)]  # gwei: 25 USD each
    height = hex(await node.head() + 1)

    def withdraw(block: Any) -> Any:
        if block and block["number"] == height:
            block["withdrawals"] = [
                {"index": hex(7 + i), "validatorIndex": "0x1", "address": a, "amount": hex(units)}
                for i, (a, units) in enumerate(given)
            ]
        return block

    proxy.edit(withdraw, method="eth_getBlockByNumber", times=None)
    for address in (one, two):
        await node.rpc("anvil_setBalance", address, hex(10**7 * GWEI))
    await world.mine(3)
    await world.follow()
    rows = await world.rows("deposits")
    assert [(d.address, int(d.amount), d.tx_hash, d.position) for d in rows] == [
        (address, units * GWEI, "", f"withdrawal:{7 + i}")
        for i, (address, units) in enumerate(given)
    ]
    assert [await status_of(world, invoice) for invoice in made] == [("settled", "none")] * 2
    all_ = 2 * 10**16
    assert await world.balances() == {(PLACE, "ETH"): all_, ("available", "ETH"): -all_}
    entries = await world.rows("journal_entries", kind="deposit_seen")
    assert len({entry.key for entry in entries}) == len(given)
    await assert_sound(world)
