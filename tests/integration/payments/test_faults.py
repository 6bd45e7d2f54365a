"""Nodes that refuse, lie, lag and die: nothing is skipped, nothing credited twice, and it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from api.networks import lag_seconds
from chain.blocks import Follower
from chain.endpoints import Endpoints
from chain.types import Cursor
from core.db import Database
from core.errors import ChainError, ForkBelowFinalized, NotFound
from core.networks import Tier, Traces
from payments import network_state
from payments.batch import apply_batch
from payments.following import Following
from tests.faultproxy import FaultProxy
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import assert_sound, breaks, status_of
from tests.settings import SOAK
from tests.waiting import eventually
from tests.world import Node, World, anvil, connect, deploy, network_of
from tests.world import world as make_world

ID = "eip155:31337"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"bezant_{name}_total", {"network": ID, **labels}) or 0


def score(proxy: FaultProxy) -> float | None:
    labels = {"network": ID, "endpoint": proxy.name}
    return REGISTRY.get_sample_value("bezant_endpoint_score", labels)


@dataclass
class Open:
    """Worlds with settings of their own, behind as many proxies as are asked for."""

    database: Database
    chain: Chain

    @asynccontextmanager
    async def __call__(
        self, proxies: int = 1, *, timeout: float = 10, **settings: Any
    ) -> AsyncIterator[tuple[World, list[FaultProxy]]]:
        url, deployed = self.chain
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(connect(url))
            made = [await stack.enter_async_context(FaultProxy(url)) for _ in range(proxies)]
            if made:
                settings["rpc_urls"] = tuple(proxy.url for proxy in made)
            network = network_of(node, deployed, **settings)
            pairs = {network: (node, deployed)}
            world = await stack.enter_async_context(
                make_world(self.database, pairs, timeout=timeout)
            )
            yield world, made


@pytest.fixture
def behind(database: Database, one_chain: Chain) -> Open:
    return Open(database, one_chain)


async def persist(world: World, looks: int = 12) -> int:
    """Follows until a look succeeds, as the worker does; how many failed before."""
    for failed in range(looks):
        try:
            await world.follow()
        except ChainError:
            continue
        return failed
    raise AssertionError(f"unreadable {looks} times")


async def statuses(world: World, made: list[dict[str, Any]]) -> list[str]:
    return [(await status_of(world, invoice))[0] for invoice in made]


Spoil = Callable[[FaultProxy, str], Any]  # and the method that ETH inside blocks is asked by
LOGS = "eth_getLogs"
INSIDE = {
    Traces.DEBUG: "debug_traceBlockByHash",
    Traces.TRACE: "trace_block",
    Traces.NONE: "eth_getBlockByHash",
}
SPOILED: dict[str, tuple[Spoil, dict[str, str]]] = {
    "-32005": (
        lambda p, _: p.refuse(-32005, "limit exceeded", method=LOGS, times=3),
        {"kind": "range_too_large"},
    ),
    "-32602": (
        lambda p, _: p.refuse(-32602, "block range too wide", method=LOGS, times=3),
        {"kind": "range_too_large"},
    ),
    "-32602 for ever": (
        lambda p, _: p.refuse(-32602, "no", method=LOGS, times=None),
        {"kind": "range_too_large"},
    ),
    "rate limit": (
        lambda p, _: p.refuse(-32005, "rate limit reached", method=LOGS, times=2),
        {"kind": "rate_limited"},
    ),
    "timeout": (lambda p, _: p.hang(method=LOGS, times=1), {"kind": "timeout"}),
    "HTTP 503": (lambda p, _: p.http(503, times=4), {"kind": "http"}),
    "traces time out": (lambda p, inside: p.hang(method=inside, times=1), {"kind": "timeout"}),
    "block not known": (
        lambda p, inside: p.refuse(-32000, "header not found", method=inside, times=2),
        {"kind": "unknown_block"},
    ),
}  # fmt: skip


# Near the head or far below it: each way in a third of the cases, in `make soak` in all of them.
SPOILED_CASES = [
    (fault, blocks, way)
    for number, fault in enumerate(SPOILED)
    for far, blocks in enumerate((3, 130))
    for which, way in enumerate(Traces)
    if SOAK or (number + far) % len(Traces) == which
]


@pytest.mark.parametrize(("fault", "blocks", "way"), SPOILED_CASES)
async def test_a_spoiled_answer_skips_nothing(
    behind: Open, fault: str, blocks: int, way: Traces
) -> None:
    timeout = 0.5 if "time" in fault else 10
    async with behind(timeout=timeout, traces=way) as (world, [proxy]):
        made = [await world.invoice() for _ in range(2)]
        await world.pay(made[0], "ETH")
        await world.pay(made[1], "USDC", sender=2)
        await world.mine(blocks)
        spoil, label = SPOILED[fault]
        before = sample("rpc_errors", endpoint=proxy.name, **label)
        spoil(proxy, INSIDE[way])
        await persist(world)
        assert await statuses(world, made) == ["settled", "settled"]
        assert sample("rpc_errors", endpoint=proxy.name, **label) > before
        proxy.clear()
        await persist(world)
        assert len(await world.rows("deposits")) == 2
        await assert_sound(world)


@pytest.mark.parametrize("blocks", [3, 130], ids=["tail", "catch-up"])
async def test_no_logs_where_the_bloom_says_some(behind: Open, blocks: int) -> None:
    async with behind() as (world, [proxy]):
        invoice = await world.invoice()
        await world.pay(invoice, "USDC")
        await world.mine(blocks)
        labels = {"endpoint": proxy.name, "outcome": "missing"}
        proxy.empty(method=LOGS, times=None)
        await persist(world)
        assert await status_of(world, invoice) == ("settled", "none")
        assert sample("bloom_mismatches", **labels) > 0
        await assert_sound(world)


async def test_nothing_moves_while_nothing_is_known(behind: Open) -> None:
    async with behind() as (world, [proxy]):
        invoice = await world.invoice()
        await world.pay(invoice)
        [cursor] = await world.rows("network_cursors")
        proxy.http(500, times=None)
        await world.advance(1000)
        for _ in range(3):
            with pytest.raises(ChainError):
                await world.follow()
        [after] = await world.rows("network_cursors")
        assert (after.number, after.followed_until) == (cursor.number, cursor.followed_until)
        assert await status_of(world, invoice) == ("new", "none")
        proxy.clear()
        await persist(world)
        assert await status_of(world, invoice) == ("processing", "none")
        await assert_sound(world)


async def test_a_dead_endpoint_beside_a_live_one(behind: Open) -> None:
    async with behind(2) as (world, [dead, _]):
        dead.http(502, times=None)
        invoice = await world.invoice()
        await world.pay(invoice)
        await world.mine(3)
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")
        assert sample("rpc_errors", endpoint=dead.name, kind="http") > 0
        [cursor] = await world.rows("network_cursors")
        scores = {e["url_host"]: e["score"] for e in cursor.endpoints}
        assert scores[dead.name] < 100
        await assert_sound(world)


async def test_a_stale_head_beside_a_live_one(behind: Open) -> None:
    async with behind(2) as (world, [stale, _]):
        stale.freeze(await world.node.head())
        await world.follow()
        assert score(stale) == 100
        invoice = await world.invoice()
        await world.pay(invoice)
        await world.mine(3)

        async def settled() -> bool:
            await world.follow()
            return await status_of(world, invoice) == ("settled", "none")

        await eventually(settled)
        assert score(stale) == 80  # four blocks behind
        await assert_sound(world)


async def test_a_stale_head_alone_expires_nothing(behind: Open) -> None:
    """What a lagging node does not show yet may be a payment in time."""
    async with behind(block_seconds=12, stalled_after_seconds=600) as (world, [proxy]):
        invoice = await world.invoice()
        await world.advance(850)
        await world.follow()
        proxy.freeze(await world.node.head())
        await world.pay(invoice)
        await world.advance(100)
        await world.mine(3)
        await world.follow()
        assert await status_of(world, invoice) == ("new", "none")
        [cursor] = await world.rows("network_cursors")  # bezant_chain_lag_seconds reads it
        assert lag_seconds(cursor.followed_until, world.context.clock.now()) >= 90
        proxy.thaw()
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")
        assert "invoice.expired" not in await world.events()
        await assert_sound(world)


async def test_a_silent_network_is_told_once_and_recovers(behind: Open) -> None:
    async with behind(block_seconds=12, stalled_after_seconds=120) as (world, _):
        invoice = await world.invoice()
        clock = world.context.clock
        clock.set_offset(clock.offset + timedelta(seconds=1000))  # and no block comes
        for _ in range(2):
            await world.follow()
        assert await world.events() == ["invoice.created", "network.stalled"]
        assert await status_of(world, invoice) == ("new", "none")
        await world.advance(1000)
        await world.node.rpc("evm_setTime", int(clock.now().timestamp()))
        await world.mine(2)
        await world.follow()
        assert (await world.events())[2:] == ["network.recovered", "invoice.expired"]


async def test_two_endpoints_on_different_chains(
    twins: tuple[World, FaultProxy, Node], behind: Open
) -> None:
    """One shows a payment, one another chain: nothing flips, and the large payment waits."""
    _, there, other = twins
    settings = {"second_endpoint_above": 1000}
    async with behind(2, **settings) as (world, [_, second]):
        second.upstream = other.url
        large, small = await world.invoice(), await world.invoice("5.00")
        await world.pay(large)
        await world.pay(small, sender=2)
        await world.mine(3)
        await other.rpc("evm_increaseTime", 5)
        await other.mine(5)
        for _ in range(3):
            await world.follow()
        assert await statuses(world, [large, small]) == ["processing", "settled"]
        [waiting] = (await world.show(large))["deposits"]
        assert (waiting["status"], waiting["waiting_for"]) == ("pending", "second_endpoint")
        names = [e["url_host"] for e in (await world.rows("network_cursors"))[0].endpoints]
        assert sum(sample("chain_disagreements", endpoint=name) for name in names) > 0
        second.upstream = there.upstream
        await world.mine()
        await world.follow()
        assert await statuses(world, [large, small]) == ["settled", "settled"]
        assert "deposit.orphaned" not in await world.events()
        await assert_sound(world)


async def test_a_large_payment_waits_for_a_second_endpoint(behind: Open) -> None:
    async with behind(2, second_endpoint_above=1000) as (world, [_, second]):
        large, small = await world.invoice(), await world.invoice("10.00")
        many = await world.invoice("12.00")
        second.freeze(await world.node.head())
        await world.pay(large)
        await world.pay(small, sender=2)
        for _ in range(3):  # 4 USD each: under the limit one by one, above it together
            await world.pay(many, "USDC", amount=4 * 10**6, sender=3)
        await world.mine(3)
        await world.follow()
        assert await statuses(world, [large, small, many]) == [
            "processing", "settled", "processing"
        ]  # fmt: skip
        waiting = (await world.show(large))["deposits"] + (await world.show(many))["deposits"]
        assert {d["waiting_for"] for d in waiting} == {"second_endpoint"}
        await assert_sound(world)
        second.thaw()
        await world.mine()
        await world.follow()
        assert await statuses(world, [large, many]) == ["settled", "settled"]
        await assert_sound(world)


TIERS = (Tier(up_to=10_000, required=1), Tier(up_to=None, required=5))


async def test_many_small_payments_do_not_slip_under_a_limit(behind: Open) -> None:
    async with behind(0, tiers=TIERS) as (world, _):
        small, large = await world.invoice("60.00"), await world.invoice("180.00")
        await world.pay(small)
        async with world.node.one_block():
            for sender in (2, 3, 4):
                await world.pay(large, amount=24 * 10**15, sender=sender)
        await world.follow()
        assert await statuses(world, [small, large]) == ["settled", "processing"]
        shown = (await world.show(large))["deposits"]
        assert [d["confirmations_required"] for d in shown] == [5, 5, 5]
        await world.mine(4)
        await world.follow()
        assert await status_of(world, large) == ("settled", "none")
        await assert_sound(world)


async def test_without_a_fresh_price_the_strictest_tier_holds(behind: Open) -> None:
    async with behind(0, tiers=TIERS) as (world, _):
        invoice = await world.invoice("5.00")
        async with world.context.database.statement() as connection:
            await connection.execute("update prices set valid_until = now() - interval '1 day'")
        await world.pay(invoice)
        await world.follow()
        [deposit] = (await world.show(invoice))["deposits"]
        assert (deposit["status"], deposit["confirmations_required"]) == ("pending", 5)
        await world.mine(4)
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")
        await assert_sound(world)


@pytest.mark.parametrize(("policy", "depth"), [("safe", 32), ("finalized", 64)])
async def test_policies_by_name(behind: Open, policy: str, depth: int) -> None:
    """Anvil calls the block 32 below its head safe, 64 below finalized."""
    async with behind(0, tiers=(Tier(up_to=None, required=policy),)) as (world, _):
        invoice = await world.invoice()
        await world.pay(invoice)
        await world.mine(depth - 1)
        await world.follow()
        [deposit] = (await world.show(invoice))["deposits"]
        assert (deposit["status"], deposit["confirmations_required"]) == ("pending", policy)
        await world.mine()
        await world.follow()
        assert await status_of(world, invoice) == ("settled", "none")


async def test_a_fork_below_the_finalized_block_halts(database: Database) -> None:
    """On a chain of its own: Anvil may lose contracts in a fork as deep as this."""
    async with AsyncExitStack() as stack:
        made = await asyncio.to_thread(stack.enter_context, anvil())
        node = await stack.enter_async_context(connect(made))
        deployed = await deploy(node)
        await node.mine(80)
        pairs = {network_of(node, deployed): (node, deployed)}
        world = await stack.enter_async_context(make_world(database, pairs))
        old = await world.invoice()
        await world.pay(old)
        await world.mine(70)
        await world.follow()
        assert await status_of(world, old) == ("settled", "none")
        await world.node.reorg(71)
        fresh = await world.invoice()
        await world.pay(fresh, "USDC", sender=2)
        await world.mine(3)
        with pytest.raises(ForkBelowFinalized):
            await world.follow()
        worker = asyncio.create_task(world.followings[ID].run())

        async def halted() -> bool:
            return bool((await world.rows("network_cursors"))[0].halted)

        await eventually(halted)
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        [found] = await breaks(world)
        assert (found.kind, found.place) == ("orphan", f"network:{ID}")
        for _ in range(2):
            await world.restart()
            await world.follow()
        assert await status_of(world, old) == ("settled", "none")
        assert await status_of(world, fresh) == ("new", "none")
        assert len(await breaks(world)) == 1
        async with world.context.database.begin() as session:
            await network_state.accept_fork(session, world.context, ID)
        await world.follow()
        assert await status_of(world, old) == ("new", "reversed")
        assert await status_of(world, fresh) == ("settled", "none")
        assert await breaks(world) == []
        told = [t for t in await world.events() if t.startswith("break")]
        assert told == ["break.opened", "break.resolved"]
        await assert_sound(world)
        async with world.context.database.begin() as session:
            with pytest.raises(NotFound):
                await network_state.accept_fork(session, world.context, ID)


async def test_two_workers_on_one_database(behind: Open) -> None:
    """Whatever the lock does: the guard row lets each batch in once."""
    async with behind(0) as (world, _):
        network = world.context.catalog.networks[ID]
        async with Endpoints(network) as endpoints:
            second = Following(world.context, network, endpoints)
            made = []
            for number in range(6):
                made.append(await world.invoice())
                signed = await world.node.raw(await world.pay(made[-1], ["ETH", "DAI"][number % 2]))
                await world.mine(1)
                if number % 3 == 2:
                    await world.node.reorg(2, (signed, 1))
                await asyncio.gather(world.follow(), second.catch_up())
            await world.mine(3)
            await asyncio.gather(second.catch_up(), world.follow())
        assert await statuses(world, made) == ["settled"] * 6
        await assert_sound(world)


async def test_a_batch_that_comes_second_is_dropped(behind: Open) -> None:
    async with behind(0) as (world, _):
        network = world.context.catalog.networks[ID]
        await world.pay(await world.invoice())
        [row] = await world.rows("network_cursors")

        async def stored(number: int) -> str | None:
            return str(row.hash) if number == row.number else None

        async with Endpoints(network) as endpoints:
            batch = await Follower(network, endpoints).next_batch(
                Cursor(row.number, row.hash), finalized=None, stored=stored
            )
        assert batch is not None
        outcomes = []
        for start in (batch.start, batch.start, Cursor(row.number, "0x" + "00" * 32)):
            async with world.context.database.begin() as session:
                late = replace(batch, start=start)
                outcomes.append(await apply_batch(session, world.context, network, late))
        assert [o is not None for o in outcomes] == [True, False, False]
        assert len(await world.rows("deposits")) == 1
        await assert_sound(world)
