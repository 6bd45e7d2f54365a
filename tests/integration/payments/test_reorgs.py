"""The chain takes money back: books and invoices agree with it, and the merchant heard of it.

A payment that only comes back in another block of the same batch is no news to anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from core.db import Database
from core.errors import Conflict
from core.ids import show
from core.networks import Tier, Traces
from tests.faultproxy import FaultProxy
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import (
    assert_sound,
    breaks,
    first_deposit,
    news_since,
    spend,
    status_of,
)
from tests.settings import SOAK
from tests.world import Node, World, calldata, connect, network_of
from tests.world import world as make_world

# Settled before the fork or not, its depth, and how ETH inside blocks is found: each way in a third
# of the cases, in `make soak` in all of them.
CASES = [
    (settled, depth, way)
    for settled in (False, True)
    for depth in range(1, 11)
    for number, way in enumerate(Traces)
    if SOAK or (depth + settled) % len(Traces) == number
]
HALF = 5 * 10**15  # wei: half of 25 USD at 2,500


@pytest.fixture(params=CASES, ids=lambda c: f"{'after' if c[0] else 'before'}-{c[1]}-{c[2]}")
async def each(
    request: pytest.FixtureRequest, database: Database, one_chain: Chain
) -> AsyncIterator[tuple[World, bool, int]]:
    """A world where one block settles, or one where twelve do; which it is, and a fork's depth."""
    settled, depth, way = request.param
    url, deployed = one_chain
    async with connect(url) as node:
        tiers = (Tier(up_to=None, required=1 if settled else 12),)
        network = network_of(node, deployed, tiers=tiers, traces=way)
        async with make_world(database, {network: (node, deployed)}) as made:
            yield made, settled, depth


async def paid_below(world: World, depth: int, asset: str = "ETH") -> tuple[Any, str, int]:
    """An invoice paid `depth` blocks below the new head, and followed: invoice, signed bytes,
    how much was told."""
    invoice = await world.invoice()
    signed = await world.node.raw(await world.pay(invoice, asset))
    await world.mine(depth - 1)
    await world.follow()
    return invoice, signed, len(await world.events())


async def test_not_at_all(each: tuple[World, bool, int]) -> None:
    world, settled, depth = each
    invoice, _, told = await paid_below(world, depth)
    assert await status_of(world, invoice) == ("settled" if settled else "processing", "none")
    await world.node.reorg(depth)
    await world.follow()
    assert await status_of(world, invoice) == ("new", "reversed" if settled else "none")
    assert await news_since(world, told) == ["deposit.orphaned"] + ["invoice.reversed"] * settled
    shown = await world.show(invoice)
    assert (shown["amount_paid"], shown["amount_confirmed"]) == ("0.00", "0.00")
    assert await world.balances() == {}
    await assert_sound(world)


async def test_in_another_block_of_the_same_batch(each: tuple[World, bool, int]) -> None:
    world, settled, depth = each
    invoice, signed, told = await paid_below(world, depth, "USDC")
    before = await first_deposit(world, invoice)
    await world.node.reorg(depth, (signed, depth - 1))
    await world.follow()
    assert await status_of(world, invoice) == ("settled" if settled else "processing", "none")
    assert await news_since(world, told) == []
    gone, here = (await world.show(invoice))["deposits"]
    assert (gone["id"], gone["status"]) == (show("dep", before.id), "orphaned")
    assert here["block_hash"] != gone["block_hash"]
    await assert_sound(world)
    await world.mine(12)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    later = ["deposit.confirmed", "invoice.settled"]
    assert await news_since(world, told) == ([] if settled else later)
    await assert_sound(world)


async def test_at_another_log_index(each: tuple[World, bool, int]) -> None:
    world, settled, depth = each
    node, token = world.node, world.contracts.tokens["DAI"]
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    for sender in (1, 2):
        mint = calldata("mint(address,uint256)", node.accounts[sender], 25 * 10**18)
        await node.send(token.address, data=mint, sender=sender)
    async with node.one_block():
        paying = calldata("transfer(address,uint256)", to, 25 * 10**18)
        paid = await node.send(token.address, data=paying, sender=1)
        strange = calldata("transfer(address,uint256)", node.accounts[3], 1)
        other = await node.send(token.address, data=strange, sender=2)
    await world.mine(depth - 1)
    await world.follow()
    told = len(await world.events())
    first = await first_deposit(world, invoice)
    await node.reorg(depth, (await node.raw(other), 0), (await node.raw(paid), 0))
    await world.follow()
    _, here = (await world.show(invoice))["deposits"]
    assert (first.position, here["position"]) == ("log:0", "log:1")
    assert await status_of(world, invoice) == ("settled" if settled else "processing", "none")
    assert await news_since(world, told) == []
    await assert_sound(world)


@pytest.mark.parametrize("way", Traces)
async def test_an_inner_call_taken_back_and_given_again(
    database: Database, one_chain: Chain, way: Traces
) -> None:
    """Where balances are compared it is dated at the block of the look, and after a fork it is
    found with the next block only."""
    url, deployed = one_chain
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(url))
        pairs = {network_of(node, deployed, traces=way): (node, deployed)}
        world = await stack.enter_async_context(make_world(database, pairs))
        invoice = await world.invoice()
        pay = calldata("pay(address)", invoice["payment_options"][0]["address"])
        signed = await node.raw(await node.send(deployed.payer, 10**16, pay))
        await world.follow()
        await world.mine(3)
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")
        await node.reorg(4)
        await world.follow()
        assert await status_of(world, invoice) == ("new", "reversed")
        await assert_sound(world)
        await node.reorg(2, (signed, 0))
        await world.follow()
        await world.mine()
        await world.restart()
        await world.follow()
        await assert_sound(world)
        assert await status_of(world, invoice) == (
            ("processing", "reversed") if way is Traces.NONE else ("settled", "none")
        )
        await world.mine(2)
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")
        positions = {d.position.partition(":")[0] for d in await world.rows("deposits")}
        assert positions == {"balance" if way is Traces.NONE else "trace"}
        await assert_sound(world)


async def test_settled_then_back_without_enough_confirmations(world: World) -> None:
    """Confirmed money became unconfirmed: that is news, and so is the second settlement."""
    invoice, signed, told = await paid_below(world, 3)
    assert await status_of(world, invoice) == ("settled", "none")
    await world.node.reorg(3, (signed, 2))
    await world.follow()
    assert await status_of(world, invoice) == ("processing", "reversed")
    assert await news_since(world, told) == ["invoice.reversed"]
    await assert_sound(world)
    await world.mine(2)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    assert await news_since(world, told) == [
        "invoice.reversed",
        "deposit.confirmed",
        "invoice.settled",
    ]
    await assert_sound(world)


async def test_back_in_a_later_batch(world: World) -> None:
    invoice, signed, told = await paid_below(world, 4)
    await world.node.reorg(4)
    await world.follow()
    await world.node.rpc("eth_sendRawTransaction", signed)
    await world.mine(4)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    assert await news_since(world, told) == [
        "deposit.orphaned",
        "invoice.reversed",
        "deposit.seen",
        "invoice.processing",
        "deposit.confirmed",
        "invoice.settled",
    ]
    await assert_sound(world)


async def test_a_quiet_return_beside_news(world: World) -> None:
    """One payment only moves to another block, a second one is new: only that is told."""
    invoice = await world.invoice()
    signed = await world.node.raw(await world.pay(invoice, amount=HALF))
    await world.follow()
    told = len(await world.events())
    await world.node.reorg(1, (signed, 0))
    await world.pay(invoice, amount=HALF, sender=2)
    await world.follow()
    assert await status_of(world, invoice) == ("processing", "none")
    assert await news_since(world, told) == ["deposit.seen", "invoice.processing"]
    await assert_sound(world)


@pytest.mark.parametrize("new", [2 * 10**16, HALF])
async def test_replaced_by_another_amount(world: World, new: int) -> None:
    """The payer's replacement wins the fork: same nonce, another value."""
    invoice = await world.invoice()
    before = await world.node.rpc("evm_snapshot")
    await world.pay(invoice)
    await world.mine(2)
    await world.follow()
    told = len(await world.events())
    assert await status_of(world, invoice) == ("settled", "none")
    await world.node.rpc("evm_revert", before)
    await world.pay(invoice, amount=new)
    await world.mine(3)
    await world.follow()
    if new > 10**16:
        assert await status_of(world, invoice) == ("settled", "paid_over")
        last = ["invoice.settled", "invoice.paid_over"]
    else:
        assert await status_of(world, invoice) == ("new", "reversed")
        last = []
    assert await news_since(world, told) == [
        "deposit.orphaned", "deposit.seen", "invoice.reversed", "deposit.confirmed", *last
    ]  # fmt: skip
    await assert_sound(world)


async def test_a_shorter_chain_is_a_fork_at_once(world: World) -> None:
    """A rollback announces nothing and leaves a lower head, with another hash once it goes on."""
    invoice, _, told = await paid_below(world, 3)
    await world.node.rpc("anvil_rollback", 3)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none"), "an endpoint may lag"
    await world.node.rpc("anvil_setCoinbase", "0x" + "ab" * 20)
    await world.mine()
    await world.follow()
    assert await status_of(world, invoice) == ("new", "reversed")
    assert await news_since(world, told) == ["deposit.orphaned", "invoice.reversed"]
    await assert_sound(world)


async def test_while_the_worker_is_off(world: World) -> None:
    """Two forks and a payment nobody looked at meanwhile."""
    invoice, signed, told = await paid_below(world, 4)
    second = await world.invoice()
    await world.node.reorg(4)
    await world.mine(2)
    await world.node.reorg(3, (signed, 1))
    await world.pay(second, "USDC", sender=2)
    await world.mine(5)
    await world.restart()
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    assert await status_of(world, second) == ("settled", "none")
    assert await world.events(invoice["id"]) == [
        "invoice.created", "invoice.processing", "invoice.settled"
    ]  # fmt: skip
    told += 1  # the second invoice's creation
    assert sorted(await news_since(world, told)) == [
        "deposit.confirmed", "deposit.seen", "invoice.processing", "invoice.settled"
    ]  # fmt: skip
    await assert_sound(world)


async def test_everything_gone_after_the_deadline_is_invalid(world: World) -> None:
    invoice, _, told = await paid_below(world, 1)
    await world.advance(1000)
    await world.follow()
    assert await status_of(world, invoice) == ("processing", "none")
    await world.node.reorg(2)
    await world.follow()
    assert await status_of(world, invoice) == ("invalid", "none")
    assert await news_since(world, told) == ["deposit.orphaned", "invoice.invalid"]
    await assert_sound(world)


async def test_a_part_in_the_inbox_counts_again_when_the_rest_comes_back(world: World) -> None:
    """Confirmed part, rest orphaned after the deadline: inbox. The rest comes back: settled."""
    invoice = await world.invoice()
    await world.pay(invoice, amount=HALF)
    await world.mine(3)
    signed = await world.node.raw(await world.pay(invoice, amount=HALF, sender=2))
    await world.follow()
    clock = world.context.clock
    clock.set_offset(clock.offset + timedelta(seconds=1000))  # blocks still come as in time
    await world.follow()
    assert await status_of(world, invoice) == ("processing", "none")
    await world.node.reorg(1)
    await world.follow()
    assert await status_of(world, invoice) == ("expired", "paid_partial")
    deposits = "network:eip155:31337:deposits"
    assert await world.balances() == {("inbox", "ETH"): -HALF, (deposits, "ETH"): HALF}
    await assert_sound(world)
    await world.node.reorg(1, (signed, 0))
    await world.follow()
    assert await status_of(world, invoice) == ("processing", "none")
    await assert_sound(world)
    await world.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    assert (await world.balances())["available", "ETH"] == -(10**16)
    await assert_sound(world)


async def test_spent_money_taken_back_overdraws_until_later_deposits_fill_it(world: World) -> None:
    first, _, _ = await paid_below(world, 3)
    await spend(world, "ETH", 10**16)
    told = len(await world.events())
    await world.node.reorg(3)
    await world.follow()
    assert (await world.balances())["available", "ETH"] == 10**16
    [found] = await breaks(world)
    assert (found.kind, found.status, found.actual) == ("missing_on_chain", "open", -(10**16))
    assert found.facts["merchant"] == show("mer", world.merchant_id)
    assert await news_since(world, told) == ["deposit.orphaned", "invoice.reversed", "break.opened"]
    with pytest.raises(Conflict):
        await spend(world, "ETH", 1)
    await assert_sound(world)

    half = await world.invoice("12.50")
    await world.pay(half)
    await world.mine(3)
    await world.follow()
    assert (await world.balances())["available", "ETH"] == HALF
    assert len(await breaks(world)) == 1
    await assert_sound(world)

    await world.pay(await world.invoice(), sender=2)
    await world.mine(3)
    await world.follow()
    assert (await world.balances())["available", "ETH"] == -HALF
    assert await breaks(world) == []
    assert (await world.events())[-1] == "break.resolved"
    await spend(world, "ETH", HALF)
    await assert_sound(world)
    assert await status_of(world, first) == ("new", "reversed")


async def test_an_overdraft_by_expiry_has_a_break_as_well(world: World) -> None:
    """Both halves spent, one taken back, then the invoice expires and takes the other along."""
    invoice = await world.invoice()
    await world.pay(invoice, amount=HALF)
    await world.mine()
    await world.pay(invoice, amount=HALF, sender=2)
    await world.mine(3)
    await world.follow()
    other = await world.invoice("12.50")
    await world.node.reorg(4)
    await world.pay(other, sender=3)
    await world.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("new", "reversed")
    await spend(world, "ETH", 10**16)
    await assert_sound(world)
    await world.advance(1000)
    await world.follow()
    assert await status_of(world, invoice) == ("expired", "reversed")
    await assert_sound(world)


async def test_a_sweep_taken_back(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice, "USDC")
    await world.mine(3)
    await world.sweep("USDC", invoice)
    await world.follow()
    amount = 25 * 10**6
    assert await world.balances() == {
        ("available", "USDC"): -amount,
        ("network:eip155:31337:treasury", "USDC"): amount,
    }
    await assert_sound(world)
    await world.node.reorg(1)
    await world.follow()
    assert await world.balances() == {
        ("available", "USDC"): -amount,
        ("network:eip155:31337:deposits", "USDC"): amount,
    }
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)


async def test_a_sweep_and_its_deposit_taken_back_together(world: World) -> None:
    invoice, signed, _ = await paid_below(world, 3, "ETH")
    swept = await world.node.raw(await world.sweep("ETH", invoice))
    await world.follow()
    await world.node.reorg(4)
    await world.follow()
    assert await world.balances() == {}
    await assert_sound(world)
    await world.node.reorg(3, (signed, 0), (swept, 1))
    await world.follow()
    assert await world.balances() == {
        ("available", "ETH"): -(10**16),
        ("network:eip155:31337:treasury", "ETH"): 10**16,
    }
    await assert_sound(world)


async def test_the_chain_flips_a_b_a(twins: tuple[World, FaultProxy, Node]) -> None:
    """The very same blocks leave and come back: one deposit, credited once, a generation older."""
    world, proxy, other = twins
    paid, swept = await world.invoice(), await world.invoice()
    await world.pay(paid)
    await world.pay(swept, "USDC", sender=2)
    await world.mine(3)
    await world.sweep("USDC", swept)
    await other.rpc("evm_increaseTime", 5)
    await other.mine(9)
    await world.follow()
    held = await world.balances()
    a, told = proxy.upstream, len(await world.events())
    for generation in (1, 2):
        proxy.upstream = other.url
        await world.follow()
        assert await world.balances() == {}
        assert await status_of(world, paid) == ("new", "reversed")
        await world.node.mine(20 * generation)
        proxy.upstream = a
        await world.follow()
        assert await status_of(world, paid) == ("settled", "none")
        assert await status_of(world, swept) == ("settled", "none")
        assert await world.balances() == held
        assert {d.generation for d in await world.rows("deposits")} == {generation}
        assert len(await world.rows("deposits")) == 2
        assert {m.generation for m in await world.rows("house_movements")} == {generation}
        await assert_sound(world)
        await other.mine(40 * generation)
    once = ["deposit.orphaned"] * 2 + ["invoice.reversed"] * 2 + [
        "deposit.seen", "deposit.seen", "invoice.processing", "invoice.processing",
        "deposit.confirmed", "deposit.confirmed", "invoice.settled", "invoice.settled",
    ]  # fmt: skip
    assert await news_since(world, told) == once * 2
