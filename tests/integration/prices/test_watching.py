"""A venue's stream into rows: what is stored when, and what is trusted, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

from core.clock import Clock, wall
from core.context import Context
from core.db import Database
from core.errors import VenueUnavailable
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Token
from core.secrets import SecretBox
from exchanges.numbers import ONE
from exchanges.protocol import Exchange
from exchanges.types import Balance, Venue
from prices import balances, books, markets
from prices.books import StoredBook
from prices.refreshing import CHANNEL, Refresher
from prices.watching import Watcher
from tests.fakes_exchange import FakeExchange
from tests.integration.api.conftest import feed
from tests.listings import book, levels, market
from tests.waiting import eventually

BIDS, ASKS = levels(("2499", "1"), ("2498", "2")), levels(("2501", "1"), ("2502.5", "3"))
BOOK = book("ETH-EUR", BIDS, ASKS)


@pytest.fixture
async def context(database: Database) -> AsyncIterator[Context]:
    network = Network(
        id="eip155:31337",
        chain_id=31337,
        name="Anvil",
        rpc_urls=("http://127.0.0.1:1",),
        block_seconds=1,
        poll_ms=100,
        tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
        feeds=(feed("EUR", "USD", "0x" + "fe" * 20),),
    )
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: os.urandom(32)}),
        public_url="http://127.0.0.1:1",
    )
    listening = asyncio.create_task(context.listener.run((CHANNEL,)))
    await context.listener.ready.wait()
    yield context
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


class World:
    """One venue, both its loops, and what they stored."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.exchange = FakeExchange(listed={s: market(s) for s in ("ETH-EUR", "BTC-EUR")})
        self.tasks: list[asyncio.Task[None]] = []

    def watch(self) -> None:
        venue = cast("Exchange", self.exchange)
        self.tasks.append(asyncio.create_task(Watcher(self.context, venue).run(0.01)))

    def refresh(self) -> None:
        venue = cast("Exchange", self.exchange)
        self.tasks.append(asyncio.create_task(Refresher(self.context, venue).run(0.01)))

    async def stored(self) -> StoredBook | None:
        async with self.context.database.statement() as connection:
            found = await books.load(connection, ["ETH-EUR"])
        return found.get(("binance", "ETH-EUR"))

    async def refusal(self) -> str | None:
        stored = await self.stored()
        return "nothing stored" if stored is None else stored.refusal(wall())

    async def usable(self) -> bool:
        return await self.refusal() is None

    async def read(self, sql: str) -> list[Any]:
        async with self.context.database.statement() as connection:
            return [tuple(row) for row in await (await connection.execute(sql)).fetchall()]


@pytest.fixture
async def world(context: Context) -> AsyncIterator[World]:
    world = World(context)
    yield world
    for task in world.tasks:
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)


async def test_a_book_is_stored_with_its_levels_and_the_markets_that_we_know(world: World) -> None:
    world.watch()
    world.exchange.say(BOOK)
    await eventually(world.usable)
    stored = await world.stored()
    assert stored is not None
    assert (stored.bids, stored.asks, stored.mid) == (BIDS, ASKS, 2500 * ONE)
    assert world.exchange.asked == ["markets", "books ETH-EUR"]
    async with world.context.database.statement() as connection:
        assert await markets.load(connection) == {("binance", "ETH-EUR"): market("ETH-EUR")}
    late = stored.alive_at + timedelta(seconds=2.01) if stored.alive_at else wall()
    assert stored.refusal(late) == "stale"
    assert stored.refusal(late - timedelta(hours=1)) == "stale"  # our clock was set back


async def test_a_gap_and_the_end_of_the_stream_are_not_trusted_until_a_snapshot(
    world: World,
) -> None:
    world.watch()
    world.exchange.say(BOOK)
    await eventually(world.usable)
    world.exchange.say("ETH-EUR")

    async def gap() -> bool:
        return await world.refusal() == "gap"

    await eventually(gap)
    world.exchange.say(None)  # a heartbeat mends nothing
    world.exchange.say(BOOK)  # the same book again does
    await eventually(world.usable)
    world.exchange.say(VenueUnavailable("the connection was reset"))
    await eventually(gap)
    assert await world.read("select problem from venue_streams") == [("the connection was reset",)]
    world.exchange.say(BOOK)
    await eventually(world.usable)


async def test_what_did_not_change_is_not_written_and_a_burst_is_one_write(world: World) -> None:
    world.watch()
    world.exchange.say(BOOK)
    await eventually(world.usable)
    version = "select xmin::text from venue_books"
    before = await world.read(version)
    world.exchange.say(book("ETH-EUR", BIDS, ASKS, sequence=2))
    world.exchange.say(VenueUnavailable("so that we know it was heard"))

    async def began_anew() -> bool:
        return world.exchange.asked.count("markets") == 2

    await eventually(began_anew)
    # the row was distrusted, which is a write, but not given the second sequence before
    assert await world.read("select sequence, trusted from venue_books") == [(1, False)]
    assert await world.read(version) != before
    for sequence in range(3, 20):
        world.exchange.say(book("ETH-EUR", BIDS, levels((f"26{sequence}", "1")), sequence))
    await eventually(world.usable)
    stored = await world.stored()
    assert stored is not None
    assert stored.sequence == 19


async def test_books_of_a_worker_that_died_are_not_trusted_by_the_next(world: World) -> None:
    row = StoredBook("binance", "ETH-EUR", [["1", "1"]], [["2", "1"]], 1, wall(), None, True)
    async with world.context.database.statement() as connection:
        await books.store(connection, "binance", [row])
        await books.heard(connection, "binance", wall())
    assert await world.usable()
    world.watch()

    async def gap() -> bool:
        return await world.refusal() == "gap"

    await eventually(gap)


async def test_balances_follow_news_of_the_account_and_of_orders(world: World) -> None:
    world.exchange.held = {"ETH": Balance(ONE, 0), "EUR": Balance(0, 7)}
    world.refresh()

    async def free(asset: str) -> int | None:
        async with world.context.database.statement() as connection:
            found = (await balances.load(connection)).get(("binance", asset))
        return found.free if found else None

    async def one() -> bool:
        return await free("ETH") == ONE

    await eventually(one)
    world.exchange.held = {"ETH": Balance(2 * ONE, 0)}
    world.exchange.tell(None)

    async def two() -> bool:
        return await free("ETH") == 2 * ONE and await free("EUR") is None

    await eventually(two)
    world.exchange.held = {"ETH": Balance(3 * ONE, 0)}
    async with (
        world.context.listener.subscribe(CHANNEL) as news,
        world.context.database.statement() as connection,
    ):
        await connection.execute("select pg_notify(%s, 'binance ')", (CHANNEL,))
        world.exchange.tell("our-order")
        assert [await news.next(2), await news.next(2)] == ["binance ", "binance our-order"]

    async def three() -> bool:
        return await free("ETH") == 3 * ONE

    await eventually(three)


async def test_a_venue_that_is_down_is_asked_again(world: World) -> None:
    world.exchange.down = True
    world.watch()

    async def told() -> bool:
        return await world.read("select problem from venue_streams") == [
            (f"{Venue.BINANCE} is switched off",)
        ]

    await eventually(told)
    world.exchange.down = False
    world.exchange.say(BOOK)
    await eventually(world.usable)
