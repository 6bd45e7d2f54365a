"""The chain changes its mind about a payment through the router: credited once, or not at all."""

from __future__ import annotations

import random

import pytest

from tests.integration.payments.facts import assert_sound, breaks
from tests.integration.router.rig import Till, units
from tests.settings import SEED, numbers
from tests.world import calldata

TREASURY = "network:eip155:31337:treasury"


@pytest.mark.parametrize("asset", ["ETH", "USDC"])
@pytest.mark.parametrize("settled", [False, True])
async def test_gone_and_back_at_another_place(till: Till, asset: str, settled: bool) -> None:
    """In another block and at another log index it is the same payment; nobody is told twice."""
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice, asset)
    amount = units(quote)
    tx_hash = await till.pay(quote)
    raw = await node.raw(tx_hash)
    others = [await node.raw(await noise(till)) for _ in range(2)]
    await world.mine(3 if settled else 1)
    await world.follow()
    [first] = await world.rows("deposits")
    told = len(await world.events())
    # other transactions now come before it, and their logs too
    again = [(one, 0) for one in others] + [(raw, 1)]
    await node.reorg(6 if settled else 4, *again)
    await world.follow()
    rows = await world.rows("deposits")
    [live] = [row for row in rows if row.status != "orphaned"]
    assert live.tx_hash == tx_hash
    assert live.block_hash != first.block_hash
    assert (await world.show(invoice))["status"] in ("processing", "settled")
    assert [e for e in (await world.events())[told:] if e == "deposit.seen"] == []
    assert (await world.balances())[TREASURY, asset] == amount
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    assert (await world.balances())["available", asset] == -amount
    assert await breaks(world) == []
    await assert_sound(world)


async def test_gone_for_good_and_quoted_again(till: Till) -> None:
    """What a fork took was never paid: the same quote can be paid again, and once."""
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice)
    await till.pay(quote)
    await world.mine(1)
    await world.follow()
    assert (await world.show(invoice))["status"] == "processing"
    await node.reorg(2)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], shown["deposits"][0]["status"]) == ("new", "orphaned")
    assert (TREASURY, "ETH") not in await world.balances()
    assert (await till.quote(invoice))["id"] == quote["id"]
    await till.pay(quote, sender=2)
    await world.mine(3)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], shown["exception"]) == ("settled", "none")
    assert (await world.balances())[TREASURY, "ETH"] == units(quote)
    await assert_sound(world)


async def test_a_reversal_after_settlement_is_told(till: Till) -> None:
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    await till.pay(await till.quote(invoice))
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    await node.reorg(4)
    await world.follow()
    assert (await world.show(invoice))["exception"] == "reversed"
    assert await world.balances() == {
        k: v for k, v in (await world.balances()).items() if k[0] not in ("available", TREASURY)
    }
    await assert_sound(world)


@pytest.mark.parametrize("turn", range(numbers(3, 25)))
async def test_any_order_of_payments_and_forks(till: Till, turn: int) -> None:
    """Whatever the forks do, the treasury's place is what the chain says the router paid it."""
    world, node, dice = till.world, till.world.node, random.Random(f"{SEED} {turn}")
    began = {asset: await till.treasury(asset) for asset in ("ETH", "USDC")}
    paid: list[str] = []
    start = await node.head()
    for _ in range(8):
        if dice.random() < 0.6:
            invoice = await world.invoice()
            quote = await till.quote(invoice, dice.choice(["ETH", "USDC"]))
            paid.append(await node.raw(await till.pay(quote, sender=dice.randrange(1, 9))))
        else:
            depth = min(dice.randrange(1, 6), await node.head() - start)
            again = [(raw, dice.randrange(depth)) for raw in paid[-2:] if dice.random() < 0.5]
            if depth:
                await node.reorg(depth, *again)
        if dice.random() < 0.7:
            await world.follow()
    await world.mine(3)
    await world.follow()
    balances = await world.balances()
    for asset, before in began.items():
        assert balances.get((TREASURY, asset), 0) == await till.treasury(asset) - before
    assert await breaks(world) == []
    assert await world.rows("house_movements") == []
    await assert_sound(world)


async def noise(till: Till) -> str:
    """A transaction with a log of a token that is followed."""
    data = calldata("mint(address,uint256)", "0x" + "99" * 20, 10**18)
    token = till.world.contracts.tokens["DAI"].address
    return await till.world.node.send(token, data=data, sender=7, gas=200_000)
