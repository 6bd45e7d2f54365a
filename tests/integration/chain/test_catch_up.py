"""A thousand blocks behind: the same movements as block by block, whatever the ranges, the faults
and the size of a batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from chain.types import Cursor, Movement
from core.errors import ChainError
from core.networks import Traces
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books, naive
from tests.integration.chain.conftest import Follow, World

ONE, TWO = "0x" + "e1" * 20, "0x" + "e2" * 20
BLOCKS = 1_000
METHODS = ["eth_getLogs", "debug_traceBlockByHash", "eth_getBlockByNumber"]
SPOILS: list[Callable[[FaultProxy, str], object]] = [
    lambda p, m: p.refuse(-32005, "limit exceeded", method=m),
    lambda p, m: p.refuse(-32602, "too wide", method=m, times=4),
    lambda p, _: p.empty(method="eth_getLogs", times=2),
    lambda p, m: p.null(method=m),
    lambda p, m: p.http(503, method=m),
    lambda p, _: cut_short(p),
]


def cut_short(proxy: FaultProxy) -> None:
    """Answers for ranges end after their first two thirds, in the middle of a block or not."""
    proxy.edit(
        lambda logs: logs[: len(logs) * 2 // 3],
        method="eth_getLogs",
        times=3,
        when=lambda p: "fromBlock" in p[0],
    )


@pytest.fixture(scope="module")
def history(world: World) -> Cursor:
    """A thousand blocks with 60 payments of all kinds; the cursor before them."""
    head = world.chain.rpc("eth_getBlockByNumber", "latest", False)
    chance = random.Random(7)
    ways = (
        lambda n: world.chain.send(ONE, value=n),
        lambda n: world.payer.send("pay", TWO, value=n),
        lambda n: world.token.send("transfer", ONE, n),
        lambda n: world.fee_token.send("transfer", TWO, n * 100),
        lambda n: world.payer.send("tryPayAndRevert", ONE, value=n),
    )
    start = int(head["number"], 16)
    for n in range(1, 61):
        ways[n % len(ways)](n)
        if chance.random() < 0.3:
            world.token.send("transfer", TWO, n)
        world.mine(chance.randrange(1, 28))
    world.mine(max(1, start + BLOCKS - world.head()))
    return Cursor(start, head["hash"])


@pytest.fixture(scope="module")
def expected(world: World, history: Cursor) -> list[Movement]:
    """By the naive reading, one call after the other."""
    heights = range(history.number + 1, world.head() + 1)
    found = [m for height in heights for m in naive(world.chain, world.network, height)]
    assert len(found) >= 60
    return found


async def test_one_by_one(
    world: World, follow: Follow, history: Cursor, expected: list[Movement]
) -> None:
    books = Books(history)
    batches = await books.follow(follow(blocks_max=1))
    assert len(batches) == world.head() - history.number
    assert books.all() == expected


@pytest.mark.parametrize("traces", [Traces.DEBUG, Traces.TRACE])
@pytest.mark.parametrize("blocks_max", [7, 333, 2000])
async def test_any_batch_size_finds_the_same(
    world: World,
    follow: Follow,
    history: Cursor,
    expected: list[Movement],
    blocks_max: int,
    traces: Traces,
) -> None:
    books = Books(history)
    network = replace(world.network, traces=traces)
    batches = await books.follow(follow(network=network, blocks_max=blocks_max))
    assert max(len(b.blocks) for b in batches) == min(blocks_max, world.head() - history.number)
    assert books.all() == expected


@pytest.mark.parametrize("seed", range(6))
async def test_any_ranges_and_faults_find_the_same(
    world: World,
    follow: Follow,
    history: Cursor,
    expected: list[Movement],
    proxy: FaultProxy,
    seed: int,
) -> None:
    chance = random.Random(seed)
    follower = follow(proxy.url, blocks_max=chance.choice([100, 500, 2000]))
    endpoint = follower.endpoints.all[0]
    for sizing in (endpoint.headers, endpoint.traces, endpoint.logs):
        sizing.size = chance.randrange(1, 100)
    books = Books(history)
    for _ in range(60):
        chance.choice(SPOILS)(proxy, chance.choice(METHODS))
        try:
            if await books.step(follower) is None:
                break
        except ChainError:
            continue
    proxy.clear()
    await books.follow(follower)
    assert books.all() == expected


async def test_a_batch_ends_before_it_fills_the_memory(
    follow: Follow, history: Cursor, expected: list[Movement]
) -> None:
    books = Books(history)
    batches = await books.follow(follow(movements_max=10))
    assert len(batches) > 2
    assert books.all() == expected


async def test_a_failure_further_on_keeps_what_was_read(
    world: World, follow: Follow, history: Cursor, expected: list[Movement], proxy: FaultProxy
) -> None:
    broken = history.number + 700
    fault = proxy.null(
        method="eth_getBlockByNumber", times=None, when=lambda p: p[0] == hex(broken)
    )
    books = Books(history)
    follower = follow(proxy.url)
    with pytest.raises(ChainError):
        await books.follow(follower)
    assert history.number < books.cursor.number < broken
    assert fault.met
    proxy.clear()
    await books.follow(follower)
    assert books.all() == expected
