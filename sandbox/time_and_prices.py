"""Time and prices of the sandbox; both return once the rest of the house knows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from core.context import Context
from core.errors import Invalid, Unavailable
from sandbox import feeds
from sandbox.deploy import FEED_UNIT
from sandbox.node import Node
from sandbox.world import FEEDS

STORED_SECONDS = 10  # how long the worker has to store a price
FRESH_SECONDS = 1200  # feeds older than this are renewed when the clock moves

LOOK_SECONDS = 1  # a notification may be lost
MOVE = """
insert into clock (id, offset_seconds) values (1, %s)
on conflict (id) do update set offset_seconds = clock.offset_seconds + excluded.offset_seconds
returning offset_seconds, pg_notify('clock', '')
"""

Rounds = dict[tuple[str, str], str]  # (network, feed) -> id of a round


async def set_price(
    context: Context, pair: str, price: str | None, age_seconds: int
) -> dict[str, Any]:
    """A new round on every network that has the feed; None: back to the start, and kept fresh.

    Raises Invalid for an unknown pair, Unavailable when the worker does not store it in time.
    """
    chosen = [
        (network, feed)
        for network in context.catalog.networks.values()
        for feed in network.feeds
        if feed.pair == pair
    ]
    if not chosen:
        known = sorted({f.pair for n in context.catalog.networks.values() for f in n.feeds})
        raise Invalid.of("pair", f"is one of {', '.join(known)}")
    now = int(context.clock.now().timestamp())
    wanted: Rounds = {}
    before = await _known(context)
    for network, feed in chosen:
        node = Node(network.rpc_urls[0])
        if price is None:
            latest = (await feeds.rounds(node, [feed.address]))[feed.address]
            start = FEED_UNIT.parse(next(f.price for f in FEEDS if f.pair == pair))
            await node.send_as_faucet([feeds.renewal(feed.address, latest, now, start)])
            number = latest.id + 1
        else:
            answer = _answer(price)
            number = await feeds.set_by_hand(node, feed.address, answer, now - age_seconds)
            # After a fork the same id comes again: it must be one that nobody has stored yet.
            while number <= int(before.get((network.id, feed.address)) or 0):
                number = await feeds.set_by_hand(node, feed.address, answer, now - age_seconds)
        wanted[network.id, feed.address] = str(number)
    if not await stored(context, wanted):
        raise Unavailable(f"the worker did not store {pair} within {STORED_SECONDS} s")
    return {"price": price, "rounds": {network: id_ for (network, _), id_ in wanted.items()}}


def _answer(price: str) -> int:
    units = FEED_UNIT.parse(price.removeprefix("-"))
    return -units if price.startswith("-") else units


async def advance(context: Context, seconds: int) -> int:
    """Moves the clock; returns its offset in seconds. Feeds that nobody set by hand stay fresh.

    One block is mined on each chain, the renewed feeds in it.
    """
    async with context.database.statement() as connection:
        cursor = await connection.execute(MOVE, [seconds])
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101  (an upsert returns its row)
    offset: int = row[0]
    context.clock.set_offset(timedelta(seconds=offset))
    now = int(context.clock.now().timestamp())
    wanted: Rounds = {}
    for network in context.catalog.networks.values():
        node = Node(network.rpc_urls[0])
        addresses = [feed.address for feed in network.feeds]
        old = await feeds.stale(node, addresses, now, older_than=FRESH_SECONDS)
        await node.set_time(now)
        if old:
            await feeds.renew(node, old, now)
        else:
            await node.mine(1)
        wanted |= {(network.id, feed): str(r.id + 1) for feed, r in old.items()}
    await stored(context, wanted)  # a worker that is off learns it later
    return offset


async def stored(context: Context, wanted: Rounds) -> bool:
    """Waits until the worker has stored these rounds; False when it does not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STORED_SECONDS
    async with context.listener.subscribe("prices") as news:
        while await _missing(context, wanted):
            if loop.time() > deadline:
                return False
            await news.next(LOOK_SECONDS)
            news.drain()
    return True


async def _missing(context: Context, wanted: Rounds) -> bool:
    known = await _known(context)
    return any(known.get(place) != round_id for place, round_id in wanted.items())


async def _known(context: Context) -> dict[tuple[str, str], str | None]:
    """The rounds that the worker has stored."""
    async with context.database.statement() as connection:
        rows = await (await connection.execute("select sources from prices")).fetchall()
    return {
        (source["network"], source["feed"]): source["round_id"]
        for (sources,) in rows
        for source in sources
        if source["source"] == "chainlink"
    }
