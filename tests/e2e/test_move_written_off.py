"""A move through a real adapter and a simulator that does not look at its chain: a person writes it
off, and the simulator wakes up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.db import Database
from exchanges.numbers import ONE
from exchanges.types import Venue
from ledger.accounts import exchange, transit
from reconciliation import resolving
from sandbox.exchanges.addresses import deposit_address, purse_address, secret_of
from sandbox.exchanges.chain import ChainWatch
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import rules
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.types import Credential
from sandbox.node import Node
from tests.e2e.test_move_kill import served
from tests.integration.exchanges import binance_venue, coinbase_venue
from tests.integration.treasury.moving import HELD, KEY, WINDOWS, Moving, named, open_moving
from tests.waiting import eventually
from tests.world import Deployed, connect
from treasury.move_work import Moves

SEED = "lost"


async def asleep(moving: Moving, venue: Venue, into: bool) -> None:
    """Half an ETH is on its way, and late."""
    places = ("hot", venue.value) if into else (venue.value, "hot")
    number = await moving.ask(*places, "0.5")
    if into:
        await moving.until(number, "sending")
        await moving.send()
        await moving.follow()
        await moving.deep()
    await moving.until(number, "in_transit", "late")
    [found] = await moving.world.rows("breaks")
    context = moving.world.context
    async with context.database.begin() as session:
        await resolving.resolve(session, context, found.id, "write_off", "gone", by=KEY)
    assert (await moving.show(number))["reason"] == "written_off"
    balances = await moving.balances()
    assert (transit(number), "ETH") not in balances
    assert balances["expense:losses", "ETH"] > ONE // 3


async def awake(moving: Moving, watch: ChainWatch) -> None:
    """The simulator looks at its chain until all is where it should be."""
    [row] = await moving.world.rows("moves")

    async def is_done() -> bool:
        await watch.look()
        await moving.world.mine(1)
        await moving.follow()
        await moving.look()
        await moving.loop.heard(named(row.id))
        await moving.work()
        return bool((await moving.show(row.id))["status"] == "done")

    await eventually(is_done, 20)


@pytest.mark.parametrize(
    ("venue", "into"),
    [(Venue.BINANCE, True), (Venue.COINBASE, False)],
    ids=["hot to binance", "coinbase to hot"],
)
async def test_what_was_lost_is_found(
    venue: Venue,
    into: bool,
    database: Database,
    one_chain: tuple[str, Deployed],
    tmp_path: Path,
) -> None:
    url, deployed = one_chain
    ours = [Credential(key=binance_venue.KEY, secret=binance_venue.SECRET)]
    async with connect(url) as node, open_moving(database, node, deployed) as moving:
        simulator = Simulator(
            venue,
            credentials=ours if venue is Venue.BINANCE else coinbase_venue.CREDENTIALS,
            rules=rules(moving.network, {}, symbols=()),
            addresses={moving.network: deposit_address(SEED, venue)},
        )
        await node.rpc("anvil_setBalance", purse_address(SEED, venue), hex(10**24))
        purse = Purse(simulator, moving.network, secret_of(SEED, venue, "purse"))
        watch = ChainWatch(moving.network, Node(url), [simulator], [purse], {})
        async with (
            served(venue, simulator, tmp_path) as (make, arguments),
            make(**arguments) as adapter,
        ):
            windows = replace(WINDOWS, late=timedelta())
            moving.loop = Moves(moving.world.context, {venue: adapter}, windows=windows)
            await asleep(moving, venue, into)
            await awake(moving, watch)
        simulator.close()
        balances = await moving.balances()
        assert ("expense:losses", "ETH") not in balances
        fee = balances.get(("expense:exchange_fees", "ETH"), 0)  # Coinbase takes it on top
        change = ONE // 2 if into else -ONE // 2 - fee
        assert balances[exchange(venue.value), "ETH"] == HELD + change
        await moving.books_match()
        assert await moving.open_breaks() == []
