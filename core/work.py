"""Rows are the queue (DESIGN 1, decision 3).

Whoever makes work writes a row that is due and notifies in the same transaction. A worker claims
due rows under a lease, does one step for each and stores the outcome, fenced by what it read. A
crash is only a delay until the lease ends, so every step may happen twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import psycopg
import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from core.clock import Clock
from core.context import Context
from core.listen import Subscription
from core.singleton import Lost, hold

log = structlog.get_logger()

Row = TypeVar("Row")

# After so many looks that found nothing the next ones are rarer: twenty idle loops that look each
# second are most of what a house at rest costs. Whatever comes by a notification is not later.
QUIET_LOOKS = 10
QUIET_FACTOR = 4
# A step whose connection was lost is taken again while its lease is young, for a database is back
# in seconds and a lease may be a minute.
TRIES = 5
AGAIN_SECONDS = 1

# The database is away or refuses: nothing is known, the next poll tries again.
DATABASE_AWAY = (psycopg.Error, SQLAlchemyError, OSError)
# Of these, what no fault of ours can be: in the middle of a step its connection was lost.
INTERRUPTED = (psycopg.OperationalError, OperationalError, InterfaceError, OSError)


class Worker(Generic[Row]):
    """Up to `parallel` steps at once.

    `claim(limit)` leases at most `limit` due rows (`for update skip locked`, wall time) and
    returns them; `do(row)` does the step and stores its outcome. Claims happen when somebody
    notified, when the clock moved, when room became free, and every `poll_seconds` (less often
    after a while without work). After a notification work may gather first: what is less urgent
    lets the rest of the house go ahead.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[int], Awaitable[Sequence[Row]]],
        do: Callable[[Row], Awaitable[None]],
        *,
        parallel: int,
        poll_seconds: float = 1.0,
        gather_seconds: float = 0,
    ) -> None:
        self._name = name
        self._claim = claim
        self._do = do
        self._parallel = parallel
        self._poll_seconds = poll_seconds
        self._gather_seconds = gather_seconds
        self._running: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._full = False
        self._quiet = 0  # looks in a row that found nothing

    def wake(self) -> None:
        """Claim again now."""
        self._awake.set()

    async def run(self, notified: Subscription, clock: Clock) -> None:
        """Works until cancelled; steps that are under way are cancelled with it."""
        hints = [
            asyncio.create_task(self._on_notify(notified)),
            asyncio.create_task(self._on_clock(clock)),
        ]
        try:
            while True:
                self._awake.clear()
                await self._fill()
                # not wait_for: in Python 3.11 it swallows a cancellation that meets the event
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.pause()):
                        await self._awake.wait()
                        self._quiet = 0
        finally:
            tasks = [*hints, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def pause(self) -> float:
        """Seconds until it looks again by itself."""
        quiet = self._quiet >= QUIET_LOOKS and not self._running
        return self._poll_seconds * (QUIET_FACTOR if quiet else 1)

    async def _fill(self) -> None:
        room = self._parallel - len(self._running)
        rows: Sequence[Row] = []
        if room > 0:
            try:
                rows = await self._claim(room)
            except DATABASE_AWAY as error:
                log.warning("claim_failed", work=self._name, error=type(error).__name__)
        self._full = len(rows) >= room
        self._quiet = 0 if rows else self._quiet + 1
        self.start(rows)

    def start(self, rows: Sequence[Row]) -> None:
        """Steps for rows that are leased already."""
        for row in rows:
            task = asyncio.create_task(self._step(row))
            self._running.add(task)
            task.add_done_callback(self._finished)

    async def _step(self, row: Row) -> None:
        for _ in range(TRIES):
            try:
                await self._do(row)
                return
            except INTERRUPTED as error:
                log.warning("step_interrupted", work=self._name, error=type(error).__name__)
            except Exception:  # the outermost step: the lease ends and the row is claimed again
                log.exception("step_failed", work=self._name)
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._full:
            self._awake.set()

    async def _on_notify(self, notified: Subscription) -> None:
        while True:
            await notified.next(None)
            if self._gather_seconds:
                await asyncio.sleep(self._gather_seconds)
            notified.drain()
            self._awake.set()

    async def _on_clock(self, clock: Clock) -> None:
        while True:
            await clock.moved()
            self._awake.set()


async def run_alone(
    context: Context,
    name: str,
    channel: str,
    step: Callable[[], Awaitable[int]],
    *,
    full: int,
    poll_seconds: float = 5.0,
    gather_seconds: float = 0.05,
) -> None:
    """A singleton loop (DESIGN 1, decision 4): steps while there is work, then waits for `channel`.

    `step` returns how much it did; less than `full` means that nothing is left for now. Before a
    step it lets work gather, so that a busy hour costs steps by time and not by row, and so that
    whoever made the work is done with what is more urgent (a delivery).
    """
    while True:
        try:
            async with (
                hold(context.database, name) as held,
                context.listener.subscribe(channel) as notified,
            ):
                while True:
                    await held.check()
                    notified.drain()
                    if await step() < full and await notified.next(poll_seconds) is not None:
                        await asyncio.sleep(gather_seconds)
        except (Lost, *DATABASE_AWAY) as error:
            log.warning("singleton_interrupted", loop=name, error=type(error).__name__)
            await asyncio.sleep(1)
