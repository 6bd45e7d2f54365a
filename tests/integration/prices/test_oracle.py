"""Every refusal through the real read path: mock aggregators on Anvil, PostgreSQL behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from core.errors import Misconfigured
from core.networks import Network
from prices.oracle import Oracle
from prices.rates import SCALE
from tests.contracts.chain import anvil
from tests.integration.prices.conftest import START, USD, World, feed
from tests.listings import levels, market
from tests.venue_state import tell
from tests.waiting import eventually

HUGE = 2**200


async def test_reads_stores_and_crosses(world: World) -> None:
    world.set("EUR", 11 * USD // 10, age=600)
    await world.oracle().step()
    book = await world.book()
    now = world.context.clock.now()
    assert await world.price("ETH", "USD") == 2500 * SCALE
    assert await world.price("USD", "ETH") == SCALE // 2500
    rate = book.rate("ETH", "EUR", now)
    assert rate.price == round(Fraction(25000, 11) * SCALE)
    assert 600 <= rate.evidence["age_seconds"] < 660
    head = world.chain.rpc("eth_getBlockByNumber", "latest", False)
    assert [leg["block_hash"] for leg in rate.evidence["via"]] == [head["hash"]] * 2
    assert rate.evidence["feed"] == world.feeds["EUR"].address.lower()
    assert rate.evidence["second_source"] == "none configured"
    assert await world.events() == []


async def test_only_what_is_new_is_stored(world: World) -> None:
    oracle = world.oracle()
    for _ in range(3):
        await oracle.step()
        world.chain.rpc("evm_mine")
    count = "select count(*) from price_readings where base = 'ETH'"
    assert await world.read(count) == [1]
    world.set("ETH", 2600 * USD)
    await oracle.step()
    world.set("ETH", -1)
    await oracle.step()
    await oracle.step()
    stored = await world.read(
        "select coalesce(price::text, refused) || ' ' || (evidence->>'round_id')"
        " from price_readings where base = 'ETH' order by id"
    )
    assert stored == [f"{2500 * SCALE} 1", f"{2600 * SCALE} 2", "answer_not_positive 3"]


@pytest.mark.parametrize(
    ("answer", "age", "reason"),
    [
        (0, 0, "answer_not_positive"),
        (-2500 * USD, 0, "answer_not_positive"),
        (2500 * USD, -60, "in_the_future"),
        (2500 * USD, -HUGE, "in_the_future"),
        (2500 * USD, 3900, "stale"),
        (START["ETH"] // 100 - 1, 0, "below_minimum"),
        (START["ETH"] * 100 + 1, 0, "above_maximum"),
        (2**254, 0, "above_maximum"),
        (3001 * USD, 0, "jump"),
        (1999 * USD, 0, "jump"),
    ],
)
async def test_refused_at_once_and_restored(
    world: World, answer: int, age: int, reason: str
) -> None:
    oracle = world.oracle()
    await oracle.step()
    world.set("ETH", answer, age=age)
    await oracle.step()
    await oracle.step()
    assert await world.price() == reason
    assert await world.price("ETH", "EUR") == reason
    assert await world.price("EUR", "USD") == START["EUR"] * 10**10
    assert (await world.book()).last_known("ETH", "USD") == 2500 * SCALE
    assert await world.events() == ["price.unavailable ETH-USD"]
    world.set("ETH", 2550 * USD)
    await oracle.step()
    assert await world.price() == 2550 * SCALE
    assert await world.events() == ["price.unavailable ETH-USD", "price.restored ETH-USD"]


async def test_an_unfinished_round(world: World) -> None:
    world.set_round("ETH", 2, 2500 * USD, 0)
    await world.oracle().step()
    assert await world.price() == "updated_at_zero"
    assert await world.events() == ["price.unavailable ETH-USD"]


async def test_a_crash_is_believed_when_a_second_round_says_so(world: World) -> None:
    oracle = world.oracle()
    await oracle.step()
    world.set("ETH", 1500 * USD)
    await oracle.step()
    assert await world.price() == "jump"
    world.set("ETH", 1450 * USD)
    await world.oracle().step()  # another process: the candidate is remembered in the database
    assert await world.price() == 1450 * SCALE


async def test_a_round_going_backwards_also_after_a_restart(world: World) -> None:
    world.set_round("ETH", (1 << 64) + 7, 2500 * USD, world.now())
    await world.oracle().step()
    world.set_round("ETH", (1 << 64) + 6, 2501 * USD, world.now())
    await world.oracle().step()
    assert await world.price() == "round_backwards"
    world.set_round("ETH", (2 << 64) + 1, 2502 * USD, world.now())
    await world.oracle().step()
    assert await world.price() == 2502 * SCALE


async def test_a_fork_takes_a_round_back(world: World) -> None:
    oracle = world.oracle()
    await oracle.step()
    fork = world.chain.rpc("evm_snapshot")
    world.set("ETH", 2600 * USD)
    await oracle.step()
    assert await world.price() == 2600 * SCALE
    world.chain.rpc("evm_revert", fork)
    # A lower head may be an endpoint that lags: the round that it does not have yet stays.
    await oracle.step()
    assert await world.price() == 2600 * SCALE
    assert await world.read("select sources->0->>'refused' from prices where base = 'ETH'") == [
        "unreachable"
    ]
    world.chain.rpc("evm_mine")
    await oracle.step()
    assert await world.price() == 2500 * SCALE


async def test_a_silent_node_keeps_the_price_until_it_is_stale(world: World) -> None:
    await world.oracle().step()
    world.configure(rpc_urls=("http://127.0.0.1:9",))
    deaf = world.oracle()
    await deaf.step()
    assert await world.price() == 2500 * SCALE
    assert await world.events() == []
    clock = world.context.clock
    clock.set_offset(clock.offset + timedelta(seconds=3900))
    assert await world.price() == "unreachable"
    assert await world.events() == []
    await deaf.step()
    assert await world.read("select refused from prices where base = 'ETH'") == ["stale"]
    assert await world.events() == ["price.unavailable ETH-USD", "price.unavailable EUR-USD"]


async def test_one_feed_that_reverts_leaves_the_others_alone(world: World) -> None:
    await world.oracle().step()
    missing = "0x" + "12" * 20
    network = world.configure(
        feeds=(replace(feed("ETH", world.feeds["ETH"]), address=missing), world.network.feeds[1])
    )
    world.set("EUR", 12 * USD // 10)
    await world.oracle(network).step()
    # another address is another source: what the old one said is no longer ours to sell at
    assert await world.price() == "unreachable"
    assert await world.price("EUR", "USD") == SCALE * 12 // 10


async def test_sequencer(world: World) -> None:
    uptime = world.chain.create("MockAggregator", "L2 Sequencer Uptime Status Feed", 0, 0)
    world.configure(sequencer_feed=uptime.address.lower())
    oracle = world.oracle()

    async def status(answer: int, since: int) -> int | str:
        uptime.send("setRound", 2, answer, since, since, 2)
        await oracle.step()
        return await world.price()

    assert await status(0, world.now() - 3700) == 2500 * SCALE
    assert await status(1, world.now() - 9999) == "sequencer_down"
    assert await status(0, world.now() - 60) == "sequencer_grace"
    assert await status(0, 0) == "sequencer_down"
    assert await status(0, world.now() - 3700) == 2500 * SCALE


@pytest.mark.parametrize(
    ("description", "decimals", "told"),
    [
        ("BTC / USD", 8, r"feeds.ETH/USD: .* says description 'BTC / USD', 'ETH / USD' is"),
        ("ETH / USD", 18, r"feeds.ETH/USD: .* says decimals 18, 8 is expected"),
    ],
)
async def test_another_feed_than_configured(
    world: World, description: str, decimals: int, told: str
) -> None:
    other = world.chain.create("MockAggregator", description, decimals, 2500 * USD)
    world.configure(feeds=(feed("ETH", other),))
    with pytest.raises(Misconfigured, match=told):
        await world.oracle().run(0.2)
    assert (await world.book()).rows == []


@pytest.mark.parametrize("what", ["nothing there", "another contract", "no uptime feed"])
async def test_no_feed_at_all(world: World, what: str) -> None:
    if what == "no uptime feed":
        world.configure(sequencer_feed="0x" + "12" * 20)
    else:
        token = world.chain.create("Payer").address.lower()
        address = token if what == "another contract" else "0x" + "12" * 20
        world.configure(feeds=(replace(world.network.feeds[0], address=address),))
    with pytest.raises(Misconfigured, match="answers no"):
        await world.oracle().check()


async def test_the_right_feeds_pass(world: World) -> None:
    await world.oracle().check()


async def test_two_networks_that_disagree_refuse_each_other(world: World) -> None:
    with anvil() as chain:
        eth = chain.create("MockAggregator", "ETH / USD", 8, 2510 * USD)
        second: Network = replace(
            world.network, id="eip155:31338", rpc_urls=(chain.url,), feeds=(feed("ETH", eth),)
        )
        world.context.catalog.networks[second.id] = second
        one, two = world.oracle(), world.oracle(second)
        await one.step()
        eth.send("set", 2510 * USD, world.now() + 1)
        await two.step()
        assert await world.price() == 2510 * SCALE
        evidence = (await world.book()).rate("ETH", "USD", world.context.clock.now()).evidence
        assert evidence["network"] == second.id
        assert evidence["second_source"] == f"chainlink {world.network.id}"
        eth.send("set", 2526 * USD, world.now() + 1)
        await two.step()
        assert await world.price() == 2526 * SCALE  # the other chain may bring it in a moment
        evidence = (await world.book()).rate("ETH", "USD", world.context.clock.now()).evidence
        assert evidence["second_source"] == "none configured"  # nobody vouches for it
        for oracle in (one, two):
            await oracle.step()
            assert await world.price() == 2526 * SCALE
        assert await world.events() == []
        await _age(world)
        for oracle in (one, two):
            await oracle.step()
            assert await world.price() == "disagreement"
        assert await world.events() == ["price.unavailable ETH-USD"]
        eth.send("set", 2524 * USD, world.now())
        await two.step()
        assert await world.price() in (2500 * SCALE, 2524 * SCALE)
        assert await world.events() == ["price.unavailable ETH-USD", "price.restored ETH-USD"]
        # one broken feed leaves the other one to count
        eth.send("set", -1, world.now())
        await two.step()
        assert await world.price() == 2500 * SCALE


async def _age(world: World) -> None:
    """As if the feeds had begun to differ three seconds earlier."""
    aged = await world.read(
        "update prices set sources = (select jsonb_agg(case when s->'memory' ? 'apart_since'"
        " then jsonb_set(s, '{memory,apart_since}', to_jsonb("
        "((s->'memory'->>'apart_since')::timestamptz - interval '3 s')::text)) else s end)"
        " from jsonb_array_elements(sources) s) where base = 'ETH'"
        " and sources::text like '%apart_since%' returning base"
    )
    assert aged == ["ETH"]


async def test_two_networks_that_move_one_after_the_other_are_no_disagreement(
    world: World,
) -> None:
    with anvil() as chain:
        eth = chain.create("MockAggregator", "ETH / USD", 8, 2500 * USD)
        second: Network = replace(
            world.network, id="eip155:31338", rpc_urls=(chain.url,), feeds=(feed("ETH", eth),)
        )
        world.context.catalog.networks[second.id] = second
        one, two = world.oracle(), world.oracle(second)
        for price in (2500, 2600, 2450):
            world.set("ETH", price * USD)
            await one.step()
            assert isinstance(await world.price(), int)
            eth.send("set", price * USD, world.now())
            await two.step()
            assert await world.price() == price * SCALE
        assert await world.price() == 2450 * SCALE
        assert await world.events() == []
        # what began to differ anew has stood for no time
        assert "apart_since" not in str(await world.read("select sources::text from prices"))


async def test_the_loop_is_woken_by_blocks_and_a_standby_takes_over(world: World) -> None:
    context = world.context
    listening = asyncio.create_task(context.listener.run(("block",)))
    await context.listener.ready.wait()
    loops = [asyncio.create_task(world.oracle().run(60))]

    async def at(answer: int) -> bool:
        return await world.price() == answer * SCALE

    try:
        await eventually(lambda: at(2500))
        loops.append(asyncio.create_task(world.oracle().run(60)))
        world.set("ETH", 2600 * USD)
        await world.read(f"select pg_notify('block', '{world.network.id}')::text")
        await eventually(lambda: at(2600))
        world.set("ETH", 2650 * USD)
        loops[0].cancel()
        await world.read(f"select pg_notify('block', '{world.network.id}')::text")
        await eventually(lambda: at(2650))
        assert not loops[1].done()
    finally:
        for task in (*loops, listening):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_two_oracles_at_once_store_a_reading_once(world: World) -> None:
    both: list[Oracle] = [world.oracle(), world.oracle()]
    await asyncio.gather(*(oracle.step() for oracle in both))
    assert await world.read("select count(*) from price_readings") == [2]


async def test_a_price_that_no_venue_agrees_with_is_refused_once_that_stood(world: World) -> None:
    database, oracle = world.context.database, world.oracle()

    async def say(bid: str, ask: str) -> None:
        one = levels((bid, "1")), levels((ask, "1"))
        await tell(database, "binance", [(market("ETH-USD"), *one)], {})

    async def age() -> None:
        """As if what is waited for had begun three seconds earlier."""
        await world.read(
            "update prices set sources = jsonb_set(sources, '{1,verdict,since}', to_jsonb("
            "((sources->1->'verdict'->>'since')::timestamptz - interval '3 s')::text))"
            " where base = 'ETH' returning base"
        )

    await say("2499", "2501")
    await oracle.step()
    now = world.context.clock.now()
    evidence = (await world.book()).rate("ETH", "USD", now).evidence
    assert evidence["second_source"] == "binance"
    assert [v["price"] for v in evidence["venues"]] == ["2500.00000000"]
    await say("2549", "2551")
    await oracle.step()
    assert await world.price() == 2500 * SCALE
    await age()
    await say("2549", "2551")
    await oracle.step()
    assert await world.price() == "disagreement"
    await say("2499", "2501")
    await oracle.step()
    assert await world.price() == "disagreement"
    await age()
    await say("2499", "2501")
    await oracle.step()
    assert await world.price() == 2500 * SCALE
    assert await world.events() == ["price.unavailable ETH-USD", "price.restored ETH-USD"]
    version = await world.read("select xmin::text from prices where base = 'ETH'")
    await say("2498", "2501")
    await oracle.step()
    assert await world.read("select xmin::text from prices where base = 'ETH'") == version
