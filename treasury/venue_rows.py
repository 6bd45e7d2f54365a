"""Rows whose next word is a venue's: intent stored, call with no transaction open, outcome stored.

Any number of workers may do this at once. Before something leaves, that it leaves is committed:
whoever finds it so afterwards, and the caller gone, asks the venue and never repeats it blindly.
Each write is fenced by the version that its step has read. Everything here lives by wall time.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, LiteralString

import structlog
from psycopg.errors import DeadlockDetected
from sqlalchemy.exc import DBAPIError

from core.clock import wall
from core.context import Context
from core.listen import Subscription
from core.rows import Rows
from core.work import DATABASE_AWAY
from exchanges.protocol import Exchange
from exchanges.types import Venue

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
MARGIN_SECONDS = 5.0  # a call ends before its lease does
STALL_SECONDS = 5.0  # between the intent and the call: a process that was stopped must not send
STORES = 3  # tries


class VenueRows(Rows):
    """`claiming` is given the `venues` that this worker may ask, and `now` is wall time.

    What is told on `news` concerns one row: `hurrying`, given `now` and what `named` reads from it,
    makes that row due. A call may last `patience` seconds, and begins `stall` after its intent at
    the latest.
    """

    news: ClassVar[str]
    hurrying: ClassVar[LiteralString]

    def __init__(
        self,
        context: Context,
        exchanges: Mapping[Venue, Exchange],
        *,
        parallel: int,
        poll_seconds: float,
        lease_seconds: float,
    ) -> None:
        super().__init__(context, parallel=parallel, poll_seconds=poll_seconds)
        self._exchanges = exchanges
        self.lease_seconds = lease_seconds
        self._lease = timedelta(seconds=lease_seconds)
        self._stall = min(self._lease / 2, timedelta(seconds=STALL_SECONDS))
        self._patience = max(lease_seconds - MARGIN_SECONDS, lease_seconds / 2)

    async def run(self) -> None:
        """Works until cancelled."""
        async with self._context.listener.subscribe(self.news) as news:
            hearing = asyncio.create_task(self._hear(news))
            try:
                await super().run()
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    def values(self, now: datetime) -> dict[str, Any]:
        venues = [venue.value for venue in self._exchanges]
        return {**super().values(now), "now": now, "venues": venues}

    async def _hear(self, news: Subscription) -> None:
        while True:
            await self.heard(await news.next(None) or "")

    async def heard(self, payload: str) -> None:
        """What it concerns is looked at now. A hint: polling would come to it."""
        named = self.named(payload)
        if named is None:
            return
        try:
            async with self._context.database.statement() as connection:
                await connection.execute(self.hurrying, {"now": wall(), **named})
        except DATABASE_AWAY as error:
            log.warning("news_missed", error=type(error).__name__)
        self._worker.wake()

    @abstractmethod
    def named(self, payload: str) -> dict[str, Any] | None:
        """Which row news are about, as `hurrying` wants it; None: no row of ours."""

    async def kept(self, write: Callable[[], Awaitable[None]]) -> None:
        """An outcome, which nobody else knows, is not given up for a deadlock: two that end at once
        may want the same accounts the other way round."""
        for left in reversed(range(STORES)):
            try:
                await write()
            except (DeadlockDetected, DBAPIError) as error:
                ended = error.orig if isinstance(error, DBAPIError) else error
                if not left or not isinstance(ended, DeadlockDetected):
                    raise
            else:
                return
