"""A loop that finds nothing looks less often, and at once when somebody has something for it; a
step that lost its connection is taken again without waiting for its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from core.clock import Clock
from core.listen import Subscription
from core.work import QUIET_FACTOR, QUIET_LOOKS, Worker
from tests.waiting import eventually

POLL = 0.002


async def test_a_quiet_loop_looks_less_often_and_wakes_at_once() -> None:
    waiting: list[int] = []
    looks = 0
    done = asyncio.Event()

    async def claim(limit: int) -> Sequence[int]:
        nonlocal looks, waiting
        looks += 1
        rows, waiting = waiting, []
        return rows

    async def do(row: int) -> None:
        done.set()

    async def quiet() -> bool:
        return looks > QUIET_LOOKS

    worker: Worker[int] = Worker("test", claim, do, parallel=1, poll_seconds=POLL)
    assert worker.pause() == POLL
    notified = Subscription()
    running = asyncio.create_task(worker.run(notified, Clock()))
    try:
        await eventually(quiet)
        assert worker.pause() == POLL * QUIET_FACTOR
        waiting.append(1)
        notified.put("")
        async with asyncio.timeout(5):
            await done.wait()
        assert worker.pause() == POLL
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_interrupted_step_does_not_wait_for_its_lease() -> None:
    claimed, tried = 0, 0
    done = asyncio.Event()

    async def claim(limit: int) -> Sequence[int]:
        nonlocal claimed
        claimed += 1
        return [1] if claimed == 1 else []  # leased by now

    async def do(row: int) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise psycopg.OperationalError("the server closed the connection unexpectedly")
        done.set()

    worker: Worker[int] = Worker("test", claim, do, parallel=1)
    running = asyncio.create_task(worker.run(Subscription(), Clock()))
    try:
        async with asyncio.timeout(10):
            await done.wait()
        assert tried == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
