"""Several endpoints: who is asked, who agrees, and whose fork is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from core.errors import ChainError
from tests.contracts.chain import Chain, anvil
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World
from tests.integration.chain.test_faults import metric
from tests.waiting import eventually

ONE = "0x" + "d1" * 20


async def test_a_broken_endpoint_costs_nothing_but_its_score(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    proxy.http(502, times=None)
    for amount in range(1, 6):
        world.chain.send(ONE, value=amount)
        assert await books.step(follower) is not None
    books.assert_equals_chain(world.chain, world.network)
    first, other = follower.endpoints.snapshot()
    assert first.score < other.score == 100
    assert first.errors >= 1
    assert first.url_host == proxy.name


async def test_an_endpoint_comes_back(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    broken = proxy.http(502, times=None)
    second.http(502, times=None)
    world.chain.send(ONE, value=1)
    for _ in range(3):
        with pytest.raises(ChainError):
            await books.step(follower)
    assert all(e.quarantined for e in follower.endpoints.all)
    assert broken.met
    proxy.clear()
    await books.follow(follower)  # all are quarantined: the one due first is tried all the same
    books.assert_equals_chain(world.chain, world.network)
    assert not follower.endpoints.all[0].quarantined


async def test_all_calls_of_a_batch_go_to_one_endpoint(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    world.chain.send(ONE, value=1)
    await books.follow(follower)
    assert proxy.count("debug_traceBlockByHash") == 1
    assert second.count("debug_traceBlockByHash") == 0


async def test_agreement_is_told_also_when_it_comes_late(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    both = {proxy.name, second.name}
    world.chain.send(ONE, value=1)
    await books.step(follower)
    agreed_at_once = books.cursor.hash
    assert books.agreed[agreed_at_once] == both
    second.freeze(world.head())
    world.chain.send(ONE, value=2)
    await books.step(follower)
    late = books.cursor.hash
    assert books.agreed[late] == {proxy.name}
    second.thaw()
    world.chain.send(ONE, value=3)
    batch = await books.step(follower)
    assert batch is not None
    assert books.agreed[late] == both
    assert agreed_at_once not in batch.agreed


async def test_a_whole_catch_up_is_agreed_to(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    world.mine(300)
    [batch] = await books.follow(follow(proxy.url, second.url))
    assert all(batch.agreed[b.hash] == {proxy.name, second.name} for b in batch.blocks)
    assert second.count("eth_getBlockByNumber") < 5


async def test_a_hanging_second_endpoint_does_not_hold_the_first_for_long(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url, patience=1)
    second.hang(times=None)
    for amount in range(1, 8):
        world.chain.send(ONE, value=amount)
        await books.step(follower)
    books.assert_equals_chain(world.chain, world.network)
    assert follower.endpoints.all[1].quarantined
    assert second.requests == 3


async def test_a_stuck_endpoint_is_found_out(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    """Its head does not move, as on a quiet chain; the other's does."""
    follower = follow(proxy.url, second.url)
    proxy.freeze(world.head())
    world.chain.send(ONE, value=1)
    await books.follow(follower)
    books.assert_equals_chain(world.chain, world.network)
    assert follower.endpoints.all[0].lag == 1


@pytest.fixture
def pair() -> Iterator[tuple[Chain, Chain]]:
    """Two nodes with one genesis and no other block in common."""
    with ExitStack() as stack:
        a, b = (stack.enter_context(anvil("--timestamp", "1700000000")) for _ in range(2))
        assert a.rpc("eth_getBlockByNumber", "0x0", False) == b.rpc(
            "eth_getBlockByNumber", "0x0", False
        )
        yield a, b


async def test_two_endpoints_that_disagree(
    world: World, follow: Follow, pair: tuple[Chain, Chain]
) -> None:
    """Neither is agreed to, the cursor stays with the first, nothing is credited twice, and it
    shows in metrics and scores. The one that grows longer wins."""
    a, b = pair
    follower = follow(a.url, b.url)
    books = Books(await follower.start_cursor())
    for amount in (1, 2, 3):
        a.send(ONE, value=amount)
        b.send(ONE, value=amount * 10)
    labels = {"network": world.network.id, "endpoint": b.url.removeprefix("http://")}
    before = metric("bezant_chain_disagreements_total", **labels)
    await books.follow(follower)
    assert [amount for _, amount in books.to(ONE)] == [1, 2, 3]
    assert all(len(names) == 1 for names in books.agreed.values())
    assert metric("bezant_chain_disagreements_total", **labels) > before
    assert follower.endpoints.all[1].score < 100
    for _ in range(5):
        assert await books.step(follower) is None
    assert books.forks == []
    for _ in range(3):
        b.send(ONE, value=7)

    async def followed() -> bool:
        return await books.step(follower) is not None

    await eventually(followed)  # a survey of all heads is due once a block time
    books.assert_equals_chain(b, world.network)
    assert books.forks == [0]


async def test_most_endpoints_are_right(
    world: World, follow: Follow, pair: tuple[Chain, Chain]
) -> None:
    """One alone on a fork of its own, at the same height, is left for the two others."""
    alone, most = pair
    async with FaultProxy(most.url) as one, FaultProxy(most.url) as two:
        follower = follow(alone.url, one.url, two.url)
        books = Books(await follower.start_cursor())
        alone.send(ONE, value=1)
        most.send(ONE, value=2)
        await books.follow(follower)
        for _ in range(3):
            alone.send(ONE, value=1)
            most.send(ONE, value=2)
            await books.follow(follower)
        books.assert_equals_chain(most, world.network)
        scores = [e.score for e in follower.endpoints.all]
        assert scores[0] < min(scores[1:])
        assert books.agreed[books.cursor.hash] == {one.name, two.name}


async def test_one_endpoint_on_another_chain_halts_nothing(
    world: World, follow: Follow, pair: tuple[Chain, Chain]
) -> None:
    """A fork below what is final is only believed when the others do not contradict it."""
    good, bad = pair
    async with FaultProxy(good.url) as front:
        follower = follow(front.url, bad.url)
        books = Books(await follower.start_cursor())
        for amount in range(1, 6):
            good.send(ONE, value=amount)
        bad.send(ONE, value=9)
        await books.follow(follower)
        books.finalized = 4
        front.http(500, times=1)
        good.send(ONE, value=6)
        await books.follow(follower)
        await books.follow(follower)
        books.assert_equals_chain(good, world.network)
        assert books.forks == []


async def test_refresh_brings_finality_and_agreement_without_a_block(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, second: FaultProxy
) -> None:
    follower = follow(proxy.url, second.url)
    second.freeze(world.head())
    world.chain.send(ONE, value=1)
    await books.follow(follower)
    assert books.agreed[books.cursor.hash] == {proxy.name}
    second.thaw()
    batch = await follower.refresh(books.cursor, stored=books.stored)
    assert batch is not None
    assert not batch.blocks
    assert batch.agreed[books.cursor.hash] == {proxy.name, second.name}
    assert batch.finalized == max(0, world.head() - 64)
    world.chain.send(ONE, value=2)
    assert await follower.refresh(books.cursor, stored=books.stored) is None
