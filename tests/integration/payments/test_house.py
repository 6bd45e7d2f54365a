"""Money at the house's own addresses: every movement has one meaning, the unknown has a Break."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from core.networks import NATIVE
from tests.integration.payments.facts import assert_sound, breaks, news_since
from tests.world import World, calldata

DEPOSITS = "network:eip155:31337:deposits"
TREASURY = "network:eip155:31337:treasury"


@pytest.fixture
async def house(world: World) -> World:
    """A world that knows its treasury."""
    async with world.context.database.statement() as connection:
        await connection.execute(
            "insert into house_addresses (network, address, role) values (%s, %s, 'treasury')",
            ("eip155:31337", world.contracts.treasury),
        )
    return world


async def at_treasury(world: World, asset: str) -> int:
    token = world.contracts.tokens[asset].address
    return await world.node.balance(world.contracts.treasury, token)


async def settled(world: World, asset: str) -> dict[str, Any]:
    invoice: dict[str, Any] = await world.invoice()
    await world.pay(invoice, asset)
    await world.mine(3)
    await world.follow()
    return invoice


async def holdings(world: World) -> dict[str, int]:
    return {row.asset: int(row.amount) for row in await world.rows("address_holdings")}


@pytest.mark.parametrize(("asset", "amount"), [("ETH", 10**16), ("USDC", 25 * 10**6)])
async def test_a_sweep_by_anybody(house: World, asset: str, amount: int) -> None:
    invoice = await settled(house, asset)
    assert await holdings(house) == {asset: amount}
    before, told = await at_treasury(house, asset), len(await house.events())
    await house.sweep(asset, invoice)
    await house.follow()
    assert await at_treasury(house, asset) - before == amount
    assert await house.balances() == {("available", asset): -amount, (TREASURY, asset): amount}
    assert await holdings(house) == {asset: 0}
    [row] = await house.rows("house_movements")
    assert (row.meaning, row.amount, row.arrived) == ("swept", amount, amount)
    assert await breaks(house) == []
    assert await news_since(house, told) == []
    await assert_sound(house)


async def test_a_fee_token_arrives_short_and_the_house_bears_it(house: World) -> None:
    invoice = await house.invoice()
    await house.pay(invoice, "FEE", amount=100 * 10**18)
    await house.mine(3)
    await house.follow()
    before = await at_treasury(house, "FEE")
    await house.sweep("FEE", invoice)
    await house.follow()
    arrived = await at_treasury(house, "FEE") - before
    left = 99 * 10**18
    assert 0 < arrived < left
    assert await house.balances() == {
        ("available", "FEE"): -left,
        (TREASURY, "FEE"): arrived,
        ("expense:losses", "FEE"): left - arrived,
    }
    await assert_sound(house)


async def test_many_addresses_in_one_sweep(house: World) -> None:
    made = [await house.invoice() for _ in range(4)]
    for invoice in made:
        await house.pay(invoice, "FEE", amount=10**18 + 7)
    await house.follow()
    before = await at_treasury(house, "FEE")
    await house.sweep("FEE", *made)
    await house.follow()
    assert len(await house.rows("house_movements")) == 4
    balances = await house.balances()
    assert balances[TREASURY, "FEE"] == await at_treasury(house, "FEE") - before
    assert (DEPOSITS, "FEE") not in balances
    await assert_sound(house)


async def test_paid_and_swept_in_one_block_and_paid_again(house: World) -> None:
    invoice = await house.invoice()
    async with house.node.one_block():
        await house.pay(invoice, amount=4 * 10**15)
        await house.sweep("ETH", invoice)
    await house.pay(invoice, amount=6 * 10**15)
    await house.mine(3)
    await house.follow()
    assert (await house.show(invoice))["status"] == "settled"
    assert await house.balances() == {
        ("available", "ETH"): -(10**16),
        (TREASURY, "ETH"): 4 * 10**15,
        (DEPOSITS, "ETH"): 6 * 10**15,
    }
    await assert_sound(house)
    await house.sweep("ETH", invoice)
    await house.follow()
    assert (await house.balances())[TREASURY, "ETH"] == 10**16
    await assert_sound(house)


@pytest.mark.parametrize("asset", ["ETH", "DAI"])
async def test_a_strangers_salt_brings_unknown_money(house: World, asset: str) -> None:
    salt = secrets.token_bytes(32)
    where = await house.node.rpc(
        "eth_call",
        {"to": house.contracts.factory, "data": calldata("depositAddress(bytes32)", salt)},
        "latest",
    )
    await house.transfer(asset, "0x" + where[-40:], 777)
    await house.sweep_salts(house.contracts.tokens[asset].address, [salt])
    await house.follow()
    assert await house.balances() == {(TREASURY, asset): 777, ("suspense", asset): -777}
    [found] = await breaks(house)
    assert (found.kind, found.asset, found.actual) == ("orphan", asset, 777)
    assert await house.events() == ["break.opened"]
    await assert_sound(house)


async def test_a_plain_inflow_has_a_break_that_names_it(house: World) -> None:
    sent = await house.transfer("USDC", house.contracts.treasury, 5)
    await house.follow()
    assert await house.balances() == {(TREASURY, "USDC"): 5, ("suspense", "USDC"): -5}
    [found] = await breaks(house)
    assert found.place == TREASURY
    assert (found.facts["tx_hash"], found.facts["from"]) == (sent, house.node.accounts[1])
    [event] = await house.rows("events")
    assert (event.type, event.merchant_id) == ("break.opened", None)
    await assert_sound(house)


async def test_an_inflow_taken_back_closes_its_break(house: World) -> None:
    await house.transfer("ETH", house.contracts.treasury, 5)
    await house.follow()
    await house.node.reorg(1)
    await house.follow()
    assert await house.balances() == {}
    assert await breaks(house) == []
    assert await house.events() == ["break.opened", "break.resolved"]
    await assert_sound(house)


async def test_an_inflow_in_another_block_keeps_its_break(house: World) -> None:
    signed = await house.node.raw(await house.transfer("ETH", house.contracts.treasury, 5))
    await house.mine(2)
    await house.follow()
    await house.node.reorg(3, (signed, 2))
    await house.follow()
    assert await house.balances() == {(TREASURY, "ETH"): 5, ("suspense", "ETH"): -5}
    assert len(await breaks(house)) == 1
    assert await house.events() == ["break.opened"]
    await assert_sound(house)


async def test_nothing_to_sweep_is_nothing(house: World) -> None:
    await house.sweep_salts(NATIVE, [secrets.token_bytes(32)])
    await house.transfer("ETH", house.contracts.treasury, 0)
    await house.follow()
    assert await house.rows("house_movements") == []
    await assert_sound(house)
