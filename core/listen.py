"""LISTEN: who waits for work is woken at the commit that made it.

A notification is a hint, never the truth: after a reconnect everybody is woken once, and every
waiter polls slowly besides.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import Database

log = structlog.get_logger()

RECONNECT_SECONDS = 1
_NOTIFY = text("select pg_notify(:channel, :payload)")


async def notify(session: AsyncSession, channel: str, payload: str = "") -> None:
    """Wakes who listens on `channel`, at the commit."""
    await session.execute(_NOTIFY, {"channel": channel, "payload": payload})


class Subscription:
    """Payloads of one channel, in order; a burst above `limit` is folded into one wake-up."""

    def __init__(self, limit: int = 1000) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue(limit)

    def put(self, payload: str) -> None:
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(payload)

    async def next(self, timeout: float | None) -> str | None:
        """The next payload ("" after a reconnect), or None when `timeout` seconds passed."""
        try:
            # not wait_for: in Python 3.11 it swallows a cancellation that meets a notification
            async with asyncio.timeout(timeout):
                return await self._queue.get()
        except TimeoutError:
            return None

    def drain(self) -> None:
        """Forget what is waiting: the caller is about to look at the truth anyway."""
        while not self._queue.empty():
            self._queue.get_nowait()


class Listener:
    """One connection that listens for a whole process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        self._connection: psycopg.AsyncConnection[object] | None = None
        self.ready = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Subscription]:
        subscription = Subscription()
        self._subscriptions[channel].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[channel].discard(subscription)

    async def run(self, channels: tuple[str, ...]) -> None:
        """Listens for ever; reconnects. The channels are known when it starts."""
        while True:
            try:
                await self._listen(channels)
            except (psycopg.Error, OSError) as error:
                self.ready.clear()
                log.warning("listen_lost", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self, channels: tuple[str, ...]) -> None:
        async with await self._database.connect_alone() as connection:
            for channel in channels:
                await connection.execute(f'listen "{channel}"')
            for channel in channels:
                self._wake(channel, "")
            self.ready.set()
            async for notification in connection.notifies():
                self._wake(notification.channel, notification.payload)

    def _wake(self, channel: str, payload: str) -> None:
        for subscription in self._subscriptions[channel]:
            subscription.put(payload)
