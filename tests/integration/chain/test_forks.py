"""Forks on a real node: found by hash, walked back to the common ancestor, never below what is
final; a lower head with the same hashes is only late."""

from __future__ import annotations

import pytest

from chain.types import Cursor
from core.errors import ChainError, EndpointFailed, ForkBelowFinalized
from tests.contracts.chain import anvil
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World

ONE = "0x" + "b1" * 20


def pay(world: World, *amounts: int) -> None:
    for amount in amounts:
        world.chain.send(ONE, value=amount)


@pytest.mark.parametrize("depth", range(1, 11))
async def test_reorg(world: World, follow: Follow, books: Books, depth: int) -> None:
    follower = follow()
    pay(world, *range(1, 13))
    await books.follow(follower)
    head = world.head()
    again = {
        "from": world.chain.accounts[1],
        "to": ONE,
        "value": "0x64",
        "gas": "0x5208",
        "gasPrice": hex(10**11),
    }
    world.chain.rpc("anvil_reorg", depth, [[again, 0]])
    batches = await books.follow(follower)
    assert [b.fork for b in batches] == [head - depth]
    books.assert_equals_chain(world.chain, world.network)
    assert 100 in [a for _, a in books.to(ONE)]


@pytest.mark.parametrize("depth", [1, 4, 10, 80])
async def test_rollback_that_announces_nothing(
    world: World, follow: Follow, books: Books, depth: int
) -> None:
    """First the head is only lower, with our own hashes: nothing is known. Then it goes on
    elsewhere, below the cursor still: a fork at once."""
    follower = follow()
    pay(world, 1, 2)
    world.mine(depth + 2)
    pay(world, 3)
    await books.follow(follower)
    books.finalized = None  # Anvil's is 64 blocks down, and it goes below
    head = world.head()
    world.chain.rpc("anvil_rollback", depth)
    assert await books.step(follower) is None
    world.chain.send(ONE, value=99)
    batch = await books.step(follower)
    assert batch is not None
    assert batch.fork == head - depth
    assert batch.head == head - depth + 1
    books.assert_equals_chain(world.chain, world.network)


async def test_snapshot_and_revert(world: World, follow: Follow, books: Books) -> None:
    follower = follow()
    pay(world, 1)
    await books.follow(follower)
    snapshot = world.chain.rpc("evm_snapshot")
    pay(world, 2, 3)
    await books.follow(follower)
    world.chain.rpc("evm_revert", snapshot)
    assert await books.step(follower) is None
    pay(world, 4, 5, 6)
    [batch] = await books.follow(follower)
    assert batch.fork is not None
    assert [a for _, a in books.to(ONE)] == [1, 4, 5, 6]
    books.assert_equals_chain(world.chain, world.network)


async def test_a_fork_while_nobody_looked(world: World, follow: Follow, books: Books) -> None:
    """The replacement is longer than the tail: one batch with all of it."""
    follower = follow()
    pay(world, 1, 2, 3)
    await books.follow(follower)
    world.chain.rpc("anvil_rollback", 2)
    pay(world, 7, 8)
    world.mine(150)
    pay(world, 9)
    [batch] = await books.follow(follower)
    assert batch.fork is not None
    assert len(batch.blocks) == 153
    assert [a for _, a in books.to(ONE)] == [1, 7, 8, 9]
    books.assert_equals_chain(world.chain, world.network)


async def test_a_fork_below_the_first_block_followed(
    world: World, follow: Follow, books: Books
) -> None:
    """We begin at the head and it is replaced before anything was applied."""
    follower = follow()
    world.mine(3)
    books = Books(await follower.start_cursor())
    world.chain.rpc("anvil_rollback", 2)
    pay(world, 5, 6)
    [batch] = await books.follow(follower)
    assert batch.fork == books.start.number == batch.start.number - 1
    assert [a for _, a in books.to(ONE)] == [6]


async def test_a_fork_below_the_finalized_block_stops(
    world: World, follow: Follow, books: Books
) -> None:
    follower = follow()
    pay(world, 1, 2, 3, 4)
    await books.follow(follower)
    at = books.cursor
    world.chain.rpc("anvil_rollback", 3)
    pay(world, 9)
    books.finalized = at.number - 2
    for _ in range(2):
        with pytest.raises(ForkBelowFinalized):
            await books.step(follower)
    assert books.cursor == at
    books.finalized = at.number - 3
    [batch] = await books.follow(follower)
    assert batch.fork == at.number - 3


async def test_another_chain_altogether_stops(world: World, follow: Follow, books: Books) -> None:
    follower = follow()
    world.mine(70)
    strange = Cursor(world.head() - 1, "0x" + "77" * 32)

    async def stored(height: int) -> str | None:
        return "0x" + f"{height:064x}"

    with pytest.raises(ForkBelowFinalized):
        await follower.next_batch(strange, finalized=None, stored=stored)
    with pytest.raises(ForkBelowFinalized):
        await follower.next_batch(strange, finalized=5, stored=stored)


async def test_a_lagging_endpoint_is_not_a_fork(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    follower = follow(proxy.url)
    pay(world, 1, 2, 3)
    await books.follow(follower)
    proxy.freeze(world.head() - 2)
    for _ in range(3):
        assert await books.step(follower) is None
    proxy.thaw()
    pay(world, 4)
    await books.follow(follower)
    assert books.forks == []
    books.assert_equals_chain(world.chain, world.network)


async def test_a_head_older_than_what_is_kept_is_unknown(
    world: World, follow: Follow, proxy: FaultProxy
) -> None:
    world.mine(5)
    follower = follow(proxy.url)
    books = Books(await follower.start_cursor())
    proxy.freeze(books.cursor.number - 3)
    with pytest.raises(EndpointFailed):
        await books.step(follower)


async def test_one_wrong_hash_is_not_a_fork(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    """A head under a hash of its own, a cursor block under another: contradictions, no forks."""
    follower = follow(proxy.url)
    pay(world, 1, 2, 3)
    await books.follow(follower)
    at = books.cursor
    proxy.wrong_hash(times=4, when=lambda p: p[0] == "latest")
    with pytest.raises(ChainError):
        await books.step(follower)
    pay(world, 4, 5)
    proxy.clear()
    proxy.wrong_hash(times=None, when=lambda p: p[0] == hex(at.number))
    with pytest.raises(ChainError):
        await books.step(follower)
    assert books.cursor == at
    proxy.clear()
    await books.follow(follower)
    assert books.forks == []
    books.assert_equals_chain(world.chain, world.network)


async def test_a_fork_in_the_middle_of_reading(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    """The block is gone when its trace is asked for: read anew, at once."""
    follower = follow(proxy.url)
    pay(world, 1)

    def reorg(result: object) -> object:
        world.chain.rpc("anvil_rollback", 1)
        world.chain.send(ONE, value=50)
        return result

    proxy.edit(reorg, method="eth_getBlockByNumber", when=lambda p: p[0] == "latest")
    [batch] = await books.follow(follower)
    assert batch.fork is None
    assert [a for _, a in books.to(ONE)] == [50]
    books.assert_equals_chain(world.chain, world.network)


async def test_flipping_between_two_chains(follow: Follow, world: World) -> None:
    """A, B, A, with the very same hashes on the return: each turn is a fork, and the books end as
    they were."""
    with anvil("--timestamp", "1700000000") as a, anvil("--timestamp", "1700000000") as b:
        async with FaultProxy(a.url) as proxy:
            follower = follow(proxy.url)
            books = Books(await follower.start_cursor())
            for amount in (1, 2):
                a.send(ONE, value=amount)
            for amount in (3, 4, 5):
                b.send(ONE, value=amount)
            seen = []
            for chain in (a, b, a, b):
                proxy.upstream = chain.url
                await books.follow(follower)
                books.assert_equals_chain(chain, world.network)
                seen.append(books.all())
    assert seen[0] == seen[2]
    assert seen[1] == seen[3]
    assert [m.amount for m in seen[3]] == [3, 4, 5]
    assert books.forks == [0, 0, 0]
