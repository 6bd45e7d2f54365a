"""A head that was announced: one request for all of it, and never anything else than without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chain.types import Cursor, Pushed
from core.networks import Traces
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import naive
from tests.integration.chain.conftest import Follow, World

ONE = "0x" + "e1" * 20


async def unstored(_: int) -> str | None:
    return None


def cursor_of(world: World, height: int) -> Cursor:
    header = world.chain.rpc("eth_getBlockByNumber", hex(height), False)
    return Cursor(height, header["hash"])


def announced(world: World) -> Pushed:
    header = world.chain.rpc("eth_getBlockByNumber", "latest", False)
    return Pushed(header["number"], header["hash"], empty=header["gasUsed"] == "0x0")


def pay(world: World) -> Cursor:
    """A call that pays, in a block of its own; the cursor before it."""
    before = cursor_of(world, world.head())
    world.payer.send("pay", ONE, value=7)
    assert world.head() == before.number + 1
    return before


@pytest.mark.parametrize("traces", [Traces.DEBUG, Traces.TRACE])
async def test_all_of_a_new_head_in_one_request(
    world: World, follow: Follow, proxy: FaultProxy, traces: Traces
) -> None:
    network = replace(world.network, traces=traces)
    follower = follow(proxy.url, network=network)
    at = cursor_of(world, world.head())
    assert await follower.next_batch(at, finalized=None, stored=unstored) is None  # its chain id
    at = pay(world)
    before = proxy.requests
    batch = await follower.next_batch(at, finalized=None, stored=unstored, pushed=announced(world))
    assert proxy.requests == before + 1
    assert batch is not None
    assert list(batch.movements) == naive(world.chain, network, at.number + 1)
    assert [m.amount for m in batch.movements if m.recipient == ONE] == [7]


SPOILS: list[Callable[[FaultProxy], object]] = [
    lambda p: p.refuse(-32601, "method not found", method="debug_traceBlockByHash", times=1),
    lambda p: p.null(method="debug_traceBlockByHash", times=1),
    lambda p: p.null(method="eth_getBlockByNumber", times=3),
    lambda p: p.empty(method="eth_getLogs", times=1),
    lambda p: p.http(503, times=1),
]


@pytest.mark.parametrize("spoil", SPOILS)
async def test_what_is_missing_is_asked_for_as_ever(
    world: World, follow: Follow, proxy: FaultProxy, spoil: Callable[[FaultProxy], object]
) -> None:
    follower = follow(proxy.url, world.chain.url)
    at = cursor_of(world, world.head())
    await follower.next_batch(at, finalized=None, stored=unstored)
    at = pay(world)
    pushed = announced(world)
    spoil(proxy)
    batch = await follower.next_batch(at, finalized=None, stored=unstored, pushed=pushed)
    assert batch is not None
    assert list(batch.movements) == naive(world.chain, world.network, at.number + 1)


@pytest.mark.parametrize("empty", [True, False])
async def test_a_wrong_announcement_changes_nothing(
    world: World, follow: Follow, empty: bool
) -> None:
    follower = follow()
    at = pay(world)
    for wrong in (Pushed("0x1", "0x" + "ab" * 32, empty=empty), Pushed("?", "", empty=empty)):
        batch = await follower.next_batch(at, finalized=None, stored=unstored, pushed=wrong)
        assert batch is not None
        assert list(batch.movements) == naive(world.chain, world.network, at.number + 1)
