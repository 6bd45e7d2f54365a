"""Who waits for whom: nobody. And what restarts, crashes and a second deliverer change: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

from aiohttp import web

from core import ids
from core.clock import wall
from core.context import Context
from core.db import Database
from tests.integration.webhooks.conftest import (
    DEADLINE,
    Received,
    Receiver,
    delivering,
    listen_at,
    move,
    ok,
    receiving,
    rows,
    tell,
    until,
)
from webhooks import queue
from webhooks.attempt import Attempt
from webhooks.schedule import Verdict

PENDING = "select count(*) from deliveries where status = 'pending'"


class Hanging:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, _: Received) -> web.StreamResponse:
        await self.go.wait()
        return web.Response()


async def test_the_live_one_gets_everything_while_the_dead_ones_hang(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    hanging = Hanging()
    async with receiving() as dead:
        dead.answer = hanging
        # The dead endpoints come first in every order, and have far more to do.
        for _ in range(20):
            await listen_at(context, shop, dead.url, ("sweep.*",))
        await tell(context, shop, *(f"old_{n}" for n in range(100)), kind="sweep.done")
        await listen_at(context, shop, receiver.url, ("move.*",))
        async with delivering(context, parallel=100):
            await dead.gets(20 * 4)
            await tell(context, shop, *(f"new_{n}" for n in range(100)), kind="move.thing")
            await receiver.gets(100)
            assert dead.in_flight == len(dead.received) == 20 * 4
            hanging.go.set()
    assert len({got.id for got in receiver.received}) == 100


async def test_an_endpoint_that_fails_is_asked_one_at_a_time(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    most = 0

    async def fail(_: Received) -> web.StreamResponse:
        nonlocal most
        if len(receiver.received) > 4:  # after the first ones, who did not know
            most = max(most, receiver.in_flight)
        return web.Response(status=500)

    receiver.answer = fail
    await listen_at(context, shop, receiver.url)
    await tell(context, shop, *(f"inv_{n}" for n in range(40)))
    async with delivering(context):
        await until(context, "select count(*) from deliveries where attempts = 1", 40)
        assert most == 1
        receiver.answer = ok
        move(context, 6)
        await until(context, PENDING, 0)


async def test_events_are_tried_in_order_and_a_bad_one_holds_up_nobody(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    async def allergic(got: Received) -> web.StreamResponse:
        return web.Response(status=500 if '"inv_3"' in got.body else 200)

    receiver.answer = allergic
    await listen_at(context, shop, receiver.url)
    await tell(context, shop, *(f"inv_{n}" for n in range(60)))
    async with delivering(context, per_endpoint=1):
        await until(context, PENDING, 1)
    told = [f"inv_{n}" for n in range(60)]
    assert [next(s for s in told if f'"{s}"' in got.body) for got in receiver.received] == told


async def test_queued_before_a_restart_delivered_after_it(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    hanging = Hanging()
    receiver.answer = hanging
    await listen_at(context, shop, receiver.url)
    await tell(context, shop, *(f"inv_{n}" for n in range(50)))
    async with delivering(context):
        await receiver.gets(4)
    hanging.go.set()
    assert await rows(context, "select count(leased_until), count(*) from deliveries") == [(0, 50)]
    receiver.answer = ok
    async with delivering(context):
        await until(context, PENDING, 0)
    assert len({got.id for got in receiver.received}) == 50
    assert len(receiver.received) == 50 + 4  # the four under way at the stop, under their own ids


async def test_after_a_crash_the_lease_runs_out(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    await tell(context, shop, "inv_1", "inv_2")
    lease = timedelta(milliseconds=300)
    async with context.database.statement() as connection:
        now = wall()
        claimed = await queue.claim(
            connection,
            limit=1,
            room=1,
            rooms={},
            now=context.clock.now(),
            wall=now,
            leased_until=now + lease,
        )
    async with delivering(context, poll_seconds=0.05):
        await until(context, PENDING, 0)
    first, second = receiver.received
    assert first.id != second.id == ids.show("evt", claimed[0].event_id)


async def test_two_deliverers_send_each_event_once(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    async with delivering(context, poll_seconds=0.01), delivering(context, poll_seconds=0.01):
        for batch in range(20):
            await tell(context, shop, *(f"inv_{batch}_{n}" for n in range(20)))
        await until(context, PENDING, 0)
    sent = Counter(got.id for got in receiver.received)
    assert len(sent) == 400
    assert set(sent.values()) == {1}
    [(attempts,)] = await rows(context, "select count(*) from delivery_attempts")
    assert attempts == 400


async def test_who_lost_its_lease_changes_nothing(context: Context, shop: UUID) -> None:
    await listen_at(context, shop, "http://127.0.0.1:1/")
    await tell(context, shop, "inv_1")
    async with context.database.statement() as connection:
        now = wall()
        [due] = await queue.claim(
            connection, limit=9, room=9, rooms={}, now=now, wall=now, leased_until=now
        )
        late = queue.Outcome(due, Attempt(now, 5, error="late"), Verdict("failed"))
        good = queue.Outcome(due, Attempt(now, 5, 200), Verdict("delivered"))
        await queue.store(connection, [good], now)
        await queue.store(connection, [late], now)
    assert await rows(context, "select status, attempts from deliveries") == [("delivered", 1)]
    assert await rows(context, "select status_code from delivery_attempts") == [(200,)]


async def test_a_database_that_went_away_is_only_a_delay(
    context: Context, database_url: str, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    fresh = Database(database_url)
    try:
        async with delivering(context, poll_seconds=0.05):
            await tell(context, shop, *(f"inv_{n}" for n in range(50)))
            await receiver.gets(10)
            async with fresh.statement() as connection:
                await connection.execute("reset role")
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            async with asyncio.timeout(DEADLINE):
                while len({got.id for got in receiver.received}) < 50:
                    await receiver.gets(len(receiver.received) + 1)
            async with asyncio.timeout(DEADLINE):
                while True:
                    async with fresh.statement() as connection:
                        cursor = await connection.execute(PENDING)
                        if await cursor.fetchone() == (0,):
                            break
                    await asyncio.sleep(0.01)
    finally:
        await fresh.close()
