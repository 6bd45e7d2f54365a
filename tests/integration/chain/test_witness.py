"""What two endpoints say of a movement by themselves, where amounts are measured and not told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chain.blocks import Follower
from chain.types import Movement
from chain.watch import Watch
from chain.witness import Claim, Heard, hear
from core.networks import Network
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World
from tests.integration.chain.test_measure import deploy_liar, transfer, with_token

ONE, TWO = "0x" + "a1" * 20, "0x" + "a2" * 20


async def ask(movements: Sequence[Movement], network: Network, follower: Follower) -> list[Heard]:
    claims = [Claim(movement) for movement in movements]
    found = await hear(claims, Watch.of(network), follower.endpoints)
    return [found[claim] for claim in claims]


async def test_a_fee_hidden_from_the_event_is_measured_by_each(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    token = deploy_liar(world.chain)
    network = with_token(world.network, token)
    follower = follow(proxy.url, second.url, network=network)
    await books.follow(follower)
    world.chain.send(token, transfer(ONE, 1000))
    batch = await books.step(follower)
    assert batch is not None
    measured = await follower.measure(batch, {ONE})
    [arrived] = await ask(measured.movements, network, follower)
    assert arrived.witnessed
    [told] = await ask(batch.movements, network, follower)
    assert (len(told.shown), len(told.denied)) == (0, 2)
    proxy.refuse(-32000, "missing trie node", method="eth_call", times=None)
    [unsure] = await ask(measured.movements, network, follower)
    assert (len(unsure.shown), unsure.unable, unsure.witnessed) == (1, 1, False)
    assert unsure.complete


async def test_a_reward_is_reckoned_from_receipts_of_each(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    miner = "0x" + "a3" * 20
    world.chain.rpc("anvil_setCoinbase", miner)
    world.payer.send("pay", TWO, value=5)
    world.chain.rpc("anvil_setCoinbase", "0x" + "00" * 20)
    follower = follow(proxy.url, second.url)
    batch = await books.step(follower)
    assert batch is not None
    measured = await follower.measure(batch, {miner})
    [reward] = [m for m in measured.movements if m.position == "reward"]
    more = replace(reward, amount=reward.amount + 1)
    right, wrong = await ask([reward, more], world.network, follower)
    assert right.witnessed
    assert not wrong.shown


async def test_a_block_that_one_endpoint_has_not_is_asked_of_nobody(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    second.freeze(world.head())
    world.chain.send(ONE, value=5)
    batch = await books.step(follower)
    assert batch is not None
    claims = [Claim(movement) for movement in batch.movements]
    proxy.calls.clear()
    assert await hear(claims, Watch.of(world.network), follower.endpoints) == {}
    assert proxy.count("debug_traceBlockByHash") == 0
