"""SIGKILL of the worker between every two steps of a conversion: the end is the undisturbed one.

A conversion of two steps goes through a real adapter to a simulator. The worker is a process; it is
killed when it asks the venue something, before or after the venue has done it, while it waits for
the row that it is about to write, and when it is about to store that its first order leaves.
Nothing of ours tells it where it is.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import web

from core.db import Database, plain_url
from exchanges.binance.adapter import Binance
from exchanges.coinbase.adapter import Coinbase
from exchanges.numbers import ONE, parse
from exchanges.types import Side, Venue
from ledger.accounts import EXCHANGE_FEES, TRADING
from sandbox.exchanges import binance_server, certificates, coinbase_server
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import NETWORK_WORDS, rules
from tests.e2e import conversion_worker
from tests.integration.exchanges import binance_venue, coinbase_venue
from tests.integration.treasury.converting import converting, plan_of
from tests.integration.treasury.test_fault_matrix import ASSETS, MIDS, Matrix, matrix
from tests.settings import SEED, numbers
from tests.waiting import eventually

PATIENCE = 60
BETWEEN = ("order", "myTrades", "fills")  # what a step asks a venue
MOMENTS = ("before", "after", "storing")
LEAVING = (0, "leaving")  # nothing was asked, and no intent to ask is stored
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([conversion_worker.__name__])


@dataclass
class Killer:
    """Counts what the worker asks, and kills it at the one that is due: `before` the venue does it,
    `after` it (the answer is lost), or when its outcome is about to be written (`storing`)."""

    url: str
    conversion: UUID | None = None
    at: int = 0
    moment: str = ""
    asked: int = 0
    worker: Any = None
    holding: list[asyncio.Task[None]] = field(default_factory=list)

    def arm(self, at: int, moment: str) -> None:
        self.at, self.moment, self.asked = at, moment, 0

    def middleware(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not any(word in request.path for word in BETWEEN):
                return await handler(request)
            self.asked += 1
            mine = self.asked == self.at
            if mine and self.moment == "before":
                self.worker.kill()
                return web.Response(status=500)
            answer = await handler(request)
            if mine and self.moment == "after":
                self.worker.kill()
            if mine and self.moment == "storing":
                await self.wait_for_writer()
            return answer

        return watch

    async def wait_for_writer(self) -> None:
        """Returns as soon as the row is held."""
        held = asyncio.Event()
        self.holding.append(asyncio.create_task(self.hold(held)))
        await held.wait()

    async def hold(self, held: asyncio.Event) -> None:
        """Takes the conversion's row, and kills whoever comes to write it."""
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            await connection.execute(
                "select from conversions where id = %s for update", [self.conversion]
            )
            held.set()
            mine = connection.info.backend_pid

            async def somebody_waits() -> bool:
                # Not pg_stat_activity: to a transaction it shows the processes of its first look.
                found = await connection.execute(
                    "select from pg_locks where not granted and %s = any(pg_blocking_pids(pid))",
                    [mine],
                )
                return await found.fetchone() is not None

            await eventually(somebody_waits, PATIENCE)
            self.worker.kill()


@dataclass
class Rig:
    """A venue's front, and the worker that is alive."""

    matrix: Matrix
    killer: Killer
    make: Callable[..., Any]
    arguments: dict[str, object]

    def start(self) -> None:
        url = self.matrix.desk.context.database.url
        self.killer.worker = PROCESSES.Process(
            target=conversion_worker.run, args=(url, self.make, self.arguments), daemon=True
        )
        self.killer.worker.start()

    def stop(self) -> None:
        self.killer.worker.kill()
        self.killer.worker.join()

    async def convert(self) -> UUID:
        """Sells 0.1 ETH for USDT, and that for EUR."""
        first = self.matrix.leg("ETH-USDT", Side.SELL, ONE // 10, slack=20)
        second = self.matrix.leg("USDT-EUR", Side.SELL, first.expected_out, slack=20, step=1)
        quote = await self.matrix.desk.quote(plan_of(first, second), seconds=120)
        for symbol, mid in MIDS.items():  # the book of each run is that of the first
            self.matrix.simulator.set_mid(symbol, parse(mid))
        self.killer.conversion = await self.matrix.desk.accept(quote)
        return self.killer.conversion

    async def end(self, number: UUID) -> dict[str, Any]:
        """What it came to, and what the books of the venue and its fees changed by."""
        shown: dict[str, Any] = {}

        async def over() -> bool:
            nonlocal shown
            shown = await self.matrix.desk.show(number)
            return shown["status"] not in ("accepted", "working")

        try:
            await eventually(over, PATIENCE)
        except AssertionError:
            raise AssertionError(shown) from None
        names = ("status", "reason", "from_amount", "to_amount", "left", "against_quote")
        return {name: shown[name] for name in names}

    async def booked(self) -> dict[str, int]:
        desk, found = self.matrix.desk, {}
        for account in (f"exchange:{self.matrix.venue}", TRADING, EXCHANGE_FEES):
            for asset in ASSETS:
                found[f"{account} {asset}"] = await desk.balance(account, asset)
        return found

    async def disturbed(self, at: int, moment: str) -> dict[str, Any]:
        """Killed at that point, and taken up by another one."""
        self.killer.arm(at, moment)
        leaving = (at, moment) == LEAVING
        if leaving:
            self.stop()
        number = await self.convert()
        if leaving:
            await self.killer.wait_for_writer()
            self.start()
        worker = self.killer.worker
        await asyncio.to_thread(worker.join, PATIENCE)
        assert worker.exitcode == -9, "it was never killed"
        await asyncio.gather(*self.killer.holding)
        self.killer.holding.clear()
        if leaving:
            query = "select status, sends from orders where conversion_id = :id"
            [first] = await self.matrix.desk.rows(query, id=number)
            assert (first.status, first.sends, self.killer.asked) == ("prepared", 0, 0)
        self.start()
        return await self.end(number)


@asynccontextmanager
async def rig(venue: Venue, database: Database, folder: Path) -> AsyncIterator[Rig]:
    front = binance_venue if venue is Venue.BINANCE else coinbase_venue
    simulator = (
        binance_venue.simulator()
        if venue is Venue.BINANCE
        else Simulator(
            venue,
            credentials=coinbase_venue.CREDENTIALS,
            rules=rules(front.NETWORK, front.TOKENS),
        )
    )
    for symbol, mid in MIDS.items():
        simulator.set_mid(symbol, parse(mid))
    killer = Killer(plain_url(database.url))
    tls: ssl.SSLContext | None = None
    if venue is Venue.BINANCE:
        application = binance_server.application(simulator, weight=10**7)
    else:
        kept = certificates.ensure(folder)
        tls = kept.server_context()
        application = coinbase_server.application(simulator, per_second=1000)
    application.middlewares.append(killer.middleware())
    runner = web.AppRunner(application, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    port = runner.addresses[0][1]
    make: Callable[..., Any] = Binance
    arguments: dict[str, object] = {
        "key": front.KEY, "secret": front.SECRET, "networks": NETWORK_WORDS[venue], "timeout": 1,
        "url": f"http://127.0.0.1:{port}", "stream_url": f"ws://127.0.0.1:{port}",
        "ws_api_url": f"ws://127.0.0.1:{port}/ws-api/v3",
    }  # fmt: skip
    if tls is not None:
        del arguments["ws_api_url"]
        make = Coinbase
        arguments |= {
            "url": f"https://127.0.0.1:{port}", "stream_url": f"wss://127.0.0.1:{port}",
            "ca_file": kept.ca_file,
        }  # fmt: skip
    async with make(**arguments) as adapter:
        made = Rig(await matrix(converting(database), simulator, adapter), killer, make, arguments)
        made.start()
        try:
            yield made
        finally:
            made.stop()
            await runner.cleanup()
            simulator.close()


@pytest.mark.parametrize("venue", list(Venue))
async def test_kills_change_nothing(venue: Venue, database: Database, tmp_path: Path) -> None:
    async with rig(venue, database, tmp_path) as made:
        before = await made.booked()
        calm = await made.end(await made.convert())
        assert calm["status"] == "filled"
        asked = made.killer.asked
        assert asked >= 4  # each of two orders sent, and its fills read
        now = await made.booked()
        change = {name: now[name] - before[name] for name in now}
        points = [(at, moment) for at in range(1, asked + 1) for moment in MOMENTS]
        drawn = random.Random(f"{SEED} {venue}").sample(
            points, min(len(points), numbers(1, len(points)))
        )
        chosen = [LEAVING, *drawn]
        for at, moment in chosen:
            before = now
            assert await made.disturbed(at, moment) == calm, (at, moment)
            now = await made.booked()
            assert {name: now[name] - before[name] for name in now} == change, (at, moment)
        await made.matrix.holds()
        print(f"\nsoak: {len(chosen)} kills of a conversion at {venue}")
