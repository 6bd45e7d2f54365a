"""The loop that reads one venue's balances, rules and fees: after news of our account, and now and
then anyway.

News of the account, from the venue's private stream or from whoever sent an order, is told on
CHANNEL as `<venue> <our order's id>`, the id empty where only a balance changed. It is a hint that
wakes whoever asks the venue, and never the proof of anything (VENUES 2).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import cast

import structlog

from core.clock import wall
from core.context import Context
from core.errors import VenueError, VenueUnavailable
from core.listen import Subscription
from core.singleton import Held, Lost, hold
from core.work import DATABASE_AWAY
from exchanges.protocol import Exchange
from exchanges.types import AccountUpdate
from prices import balances, markets
from prices.watching import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, pause_after

log = structlog.get_logger(__name__)

CHANNEL = "venue_account"
BALANCES_SECONDS = 30
MARKETS_SECONDS = 600
GATHER_SECONDS = 0.2  # an order's fills bring several pieces of news


class Refresher:
    """One venue's account; `run` holds a lock, so that it is read once in an installation."""

    def __init__(self, context: Context, exchange: Exchange) -> None:
        self._context = context
        self._exchange = exchange
        self._venue = exchange.venue.value

    async def run(self, first_pause: float = FIRST_PAUSE_SECONDS) -> None:
        """Reads until cancelled."""
        while True:
            try:
                async with (
                    hold(self._context.database, f"account:{self._venue}") as held,
                    self._context.listener.subscribe(CHANNEL) as news,
                ):
                    listening = asyncio.create_task(self._listen(first_pause))
                    try:
                        await self._follow(held, news, first_pause)
                    finally:
                        listening.cancel()
                        with suppress(asyncio.CancelledError):
                            await listening
            except (Lost, *DATABASE_AWAY) as error:
                log.warning("account_interrupted", venue=self._venue, error=type(error).__name__)
                await asyncio.sleep(1)

    async def _follow(self, held: Held, news: Subscription, first_pause: float) -> None:
        clock = asyncio.get_running_loop()
        markets_due, pause = clock.time(), first_pause
        while True:
            await held.check()
            news.drain()
            try:
                await self.read_balances()
                if clock.time() >= markets_due:
                    await self.read_markets()
                    markets_due = clock.time() + MARKETS_SECONDS
                pause = first_pause
            except VenueError as error:
                log.warning("account_not_read", venue=self._venue, problem=str(error))
                await asyncio.sleep(pause_after(error, pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            await self._wait(news, clock.time() + BALANCES_SECONDS)

    async def read_balances(self) -> None:
        """Raises VenueError."""
        found = await self._exchange.balances()
        async with self._context.database.statement() as connection:
            await balances.store(connection, self._venue, found, wall())

    async def read_markets(self) -> None:
        """Raises VenueError."""
        found = markets.known(self._context.catalog, await self._exchange.markets())
        async with self._context.database.statement() as connection:
            await markets.store(connection, self._venue, found, wall())

    async def _wait(self, news: Subscription, until: float) -> None:
        """Until there is news of this venue's account, or the moment has come."""
        clock = asyncio.get_running_loop()
        while (left := until - clock.time()) > 0:
            payload = await news.next(left)
            if payload is not None and payload.partition(" ")[0] in (self._venue, ""):
                await asyncio.sleep(GATHER_SECONDS)
                return

    async def _listen(self, first_pause: float) -> None:
        """Tells everybody what the private stream says, and begins it anew when it ends."""
        pause = first_pause
        while True:
            try:
                stream = cast("AsyncGenerator[AccountUpdate, None]", self._exchange.account())
                async with aclosing(stream):
                    async for update in stream:
                        pause = first_pause
                        await self._tell(update)
                raise VenueUnavailable("the stream ended")
            except (VenueError, *DATABASE_AWAY) as error:
                log.warning("account_stream_lost", venue=self._venue, problem=str(error))
                await asyncio.sleep(pause_after(error, pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _tell(self, update: AccountUpdate) -> None:
        payload = f"{self._venue} {update.client_id or ''}"
        async with self._context.database.statement() as connection:
            await connection.execute("select pg_notify(%s, %s)", (CHANNEL, payload))
