"""SIGKILL of the worker between every two steps of a move: the end is the undisturbed one.

A move goes through a real adapter to a simulator, and over a real chain. The worker is a process;
it is killed in each state of the move: right after that was written, or when it is about to write
the next one. Nothing of ours tells it where it is: we hold the table of events, where each new
state is told, so that what is read of the move is so at the kill.

One moment may have another end: Binance does not promise that the same id does nothing twice, so a
withdrawal whose worker died between its intent and the call stays `sending` and a person is told.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from aiohttp import web

from core import ids
from core.clock import wall
from core.db import Database, plain_url
from core.networks import Network
from exchanges.binance.adapter import Binance
from exchanges.coinbase.adapter import Coinbase
from exchanges.types import Venue
from ledger.breaks import close_break
from sandbox.exchanges import binance_server, certificates, coinbase_server
from sandbox.exchanges.addresses import deposit_address, purse_address, secret_of
from sandbox.exchanges.chain import ChainWatch
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import NETWORK_WORDS, rules
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.types import Credential
from sandbox.node import Node as SandboxNode
from tests.e2e import move_worker
from tests.integration.exchanges import binance_venue, coinbase_venue
from tests.integration.treasury.moving import Moving, open_moving
from tests.settings import SEED, numbers
from tests.waiting import eventually
from tests.world import Deployed, connect

PATIENCE = 30
BLOCK_SECONDS = 0.2
STATES = ("requested", "approved", "sending", "in_transit")
MOMENTS = ("written", "writing")
UNPROVED = ("sending", "written")
UNKNOWN = "outcome_unknown"
TRIES = 5  # moves, until one is met where it is wanted
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([move_worker.__name__])


@dataclass
class Rig:
    """A venue's front, and the worker that is alive."""

    venue: Venue
    moving: Moving
    simulator: Simulator
    make: Callable[..., Any]
    arguments: dict[str, object]
    worker: Any = None
    missed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.moving.world.context.database.url

    def start(self) -> None:
        network: Network = self.moving.world.context.catalog.networks[self.moving.network]
        arguments = (self.url, network, self.moving.signer.keys, self.make, self.arguments)
        self.worker = PROCESSES.Process(target=move_worker.run, args=arguments, daemon=True)
        self.worker.start()

    async def move(self, into: bool) -> UUID:
        places = ("hot", self.venue.value) if into else (self.venue.value, "hot")
        return await self.moving.ask(*places, "0.5")

    async def end(self, number: UUID) -> dict[str, Any]:
        """What it came to; `outcome_unknown` once a person was told of it."""
        shown: dict[str, Any] = {}

        async def over() -> bool:
            nonlocal shown
            shown = await self.moving.show(number)
            is_told = shown["reason"] == UNKNOWN and bool(await self.moving.open_breaks())
            return is_told or shown["status"] in ("done", "failed")

        try:
            await eventually(over, PATIENCE)
        except AssertionError:
            raise AssertionError(shown) from None
        names = ["status", "reason", "amount", "fee", "from", "to"]
        if shown["to"] == self.venue:  # else the chain decides, and the venue's word may lag
            names.append("venue_status")
        return {name: shown[name] for name in names}

    async def decide(self, number: UUID) -> None:
        """A person says that the withdrawal is not there, which is so."""
        name = ids.show("mov", number)
        assert name not in [w.client_id for w in self.simulator.withdrawals()]
        assert await self.moving.open_breaks() == [("missing_at_venue", f"exchange:{self.venue}")]
        async with self.moving.world.context.database.begin() as session:
            await close_break(session, f"move:{name}", "it is not there", wall(), by="key_person")

        async def written_off() -> bool:
            shown = await self.moving.show(number)
            return (shown["status"], shown["reason"]) == ("failed", "written_off")

        await eventually(written_off, PATIENCE)

    async def booked(self) -> Counter[str]:
        """Account and asset -> base units; of all moves in transit together, and without gas."""
        found: Counter[str] = Counter()
        hot, _ = self.moving.hot_place
        for (account, asset), units in (await self.moving.world.balances()).items():
            if account != "expense:gas":
                found[f"{re.sub('mov_.*', '', account)} {asset}"] += units
            else:
                found[f"{hot} {asset}"] += units
        return found

    async def disturbed(self, into: bool, state: str, moment: str) -> tuple[UUID, dict[str, Any]]:
        """One that was killed at that point, and taken up by another worker. Those that were too
        fast for us go on to their end, undisturbed."""
        for _ in range(TRIES):
            async with await psycopg.AsyncConnection.connect(plain_url(self.url)) as connection:
                number = await self.move(into)
                met = await self._meet(connection, number, state, moment)
                if met:
                    self.worker.kill()
                    await asyncio.to_thread(self.worker.join, PATIENCE)
                    assert await status(connection, number) == state
            if met:
                async with await psycopg.AsyncConnection.connect(plain_url(self.url)) as connection:
                    # The server has noticed by now, and what waited for us was never committed.
                    assert await status(connection, number, "for update") == state
                self.start()
                return number, await self.end(number)
            self.missed.append(await self.end(number))
        raise AssertionError(f"{TRIES} moves in a row were faster than {state}, {moment}")

    async def _meet(
        self, connection: psycopg.AsyncConnection[Any], number: UUID, state: str, moment: str
    ) -> bool:
        """Returns in exactly that state, which nobody can leave before we let go: just written, or
        when the next one waits for us. Who waits when we let go is before us when we come again, so
        no state is passed unseen. False: it was beyond when we came first."""
        while True:
            await connection.execute("lock table events in share mode")
            found = await status(connection, number)
            if found == state and moment == "written":
                return True
            if found not in STATES[: STATES.index(state) + 1]:
                return False
            if await self._waits(connection.info.backend_pid, number) and found == state:
                return True
            await connection.commit()

    async def _waits(self, holder: int, number: UUID) -> bool:
        """Once somebody waits for us: whether it is who has written the move's next state. On a
        connection of its own: within a transaction the view stays as it was."""
        url, waiting = plain_url(self.url), list[bool]()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

            async def somebody() -> bool:
                found = await connection.execute(
                    "select a.backend_xid = m.xmax from pg_stat_activity a, moves m"
                    " where %s = any(pg_blocking_pids(a.pid)) and m.id = %s",
                    [holder, number],
                )
                waiting[:] = [row[0] for row in await found.fetchall()]
                return bool(waiting)

            await eventually(somebody, PATIENCE)
        return any(waiting)

    async def live(self) -> None:
        """The venue's own process, and a chain that goes on."""
        venue, seed = self.simulator.venue, "move"
        node = SandboxNode(self.moving.world.node.url)
        network = self.moving.network
        purse = Purse(self.simulator, network, secret_of(seed, venue, "purse"))
        watch = ChainWatch(network, node, [self.simulator], [purse], {})
        while True:
            await watch.look()
            await self.moving.world.node.mine()
            await asyncio.sleep(BLOCK_SECONDS)


async def status(
    connection: psycopg.AsyncConnection[Any], number: UUID, lock: LiteralString = ""
) -> str:
    query = f"select status from moves where id = %s {lock}"  # noqa: S608
    row = await (await connection.execute(query, [number])).fetchone()
    assert row is not None
    return str(row[0])


@asynccontextmanager
async def served(
    venue: Venue, simulator: Simulator, folder: Path
) -> AsyncIterator[tuple[Callable[..., Any], dict[str, object]]]:
    """The adapter's class, and what it is made with."""
    front = binance_venue if venue is Venue.BINANCE else coinbase_venue
    tls: ssl.SSLContext | None = None
    arguments: dict[str, object] = {
        "key": front.KEY, "secret": front.SECRET, "networks": NETWORK_WORDS[venue], "timeout": 1,
    }  # fmt: skip
    if venue is Venue.BINANCE:
        application = binance_server.application(simulator, weight=10**7)
    else:
        kept = certificates.ensure(folder)
        tls = kept.server_context()
        arguments["ca_file"] = kept.ca_file
        application = coinbase_server.application(simulator, per_second=1000)
    runner = web.AppRunner(application, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    at, s = f"127.0.0.1:{runner.addresses[0][1]}", "s" if tls else ""
    arguments |= {"url": f"http{s}://{at}", "stream_url": f"ws{s}://{at}"}
    if venue is Venue.BINANCE:
        arguments["ws_api_url"] = f"ws://{at}/ws-api/v3"
    try:
        yield (Binance if venue is Venue.BINANCE else Coinbase), arguments
    finally:
        await runner.cleanup()


@asynccontextmanager
async def rig(venue: Venue, moving: Moving, folder: Path) -> AsyncIterator[Rig]:
    ours = Credential(key=binance_venue.KEY, secret=binance_venue.SECRET)
    credentials = [ours] if venue is Venue.BINANCE else coinbase_venue.CREDENTIALS
    simulator = Simulator(
        venue,
        credentials=credentials,
        rules=rules(moving.network, {}, symbols=()),
        addresses={moving.network: deposit_address("move", venue)},
    )
    purse = purse_address("move", venue)
    await moving.world.node.rpc("anvil_setBalance", purse, hex(10**24))
    async with served(venue, simulator, folder) as (make, arguments):
        made = Rig(venue, moving, simulator, make, arguments)
        living = asyncio.create_task(made.live())
        made.start()
        try:
            yield made
        finally:
            made.worker.kill()
            made.worker.join()
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            simulator.close()


POINTS = [(state, moment) for state in STATES for moment in MOMENTS]


@pytest.mark.parametrize("into", [True, False], ids=["hot to venue", "venue to hot"])
@pytest.mark.parametrize("venue", list(Venue))
async def test_kills_change_nothing(
    venue: Venue,
    into: bool,
    database: Database,
    one_chain: tuple[str, Deployed],
    tmp_path: Path,
) -> None:
    if numbers(1, 2) == 1 and into == (venue is Venue.BINANCE):
        pytest.skip("each way at one venue; both in `make soak`")
    url, deployed = one_chain
    async with (
        connect(url) as node,
        open_moving(database, node, deployed) as moving,
        rig(venue, moving, tmp_path) as made,
    ):
        before = await made.booked()
        calm = await made.end(await made.move(into))
        assert calm["status"] == "done"
        now = await made.booked()
        change = {name: now[name] - before[name] for name in now}
        luck, done = random.Random(f"{SEED} {venue} {into}"), 1
        decided = 0
        chosen = luck.sample(POINTS, numbers(1, len(POINTS)))
        for point in chosen:
            number, ended = await made.disturbed(into, *point)
            if ended["reason"] == UNKNOWN:
                assert (venue, into, point) == (Venue.BINANCE, False, UNPROVED)
                await made.decide(number)
                decided += 1
            else:
                assert ended == calm, point
                done += 1
            assert made.missed == [calm] * len(made.missed)
            done += len(made.missed)
            made.missed.clear()
            now = await made.booked()
            assert {name: now[name] - before[name] for name in now} == {
                name: units * done for name, units in change.items()
            }, point
        transfers = made.simulator.deposits() if into else made.simulator.withdrawals()
        assert len(transfers) == done
        assert await moving.open_breaks() == []
        way = "to" if into else "from"
        print(f"\nsoak: {len(chosen)} kills of a move {way} {venue}, {decided} decided by a person")
