"""`bezant sandbox`: a whole shop on this machine, started side by side and gone together."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.clock import wall
from core.errors import BezantError, ChainError
from sandbox import feeds, keys, processes, ready, state, world
from sandbox.anvil import Anvil, check_same_chain
from sandbox.deploy import Keys, deploy, plan
from sandbox.kept import clock_offset, cursors
from sandbox.postgres import Postgres
from sandbox.processes import Child
from sandbox.services import Services
from sandbox.simulators import Simulators
from sandbox.summary import summary

REFRESH_SECONDS = 30  # how often the age of the feeds is looked at
REFRESH_OLDER_SECONDS = 1200  # a third of the shortest heartbeat
STOP_SECONDS = 2.0  # then a child is killed
STEADY_SECONDS = 10  # a child that ran this long is started again at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`port` None: 8000 if free, else any. `networks` None: as before, two at first."""

    data_dir: Path
    port: int | None = None
    networks: int | None = None
    ready_file: Path | None = None
    fresh: bool = False


class Supervisor:
    """Runs once: `start`, then `watch` until told to stop, then `stop`.

    Raises BezantError when the wished port is taken.
    """

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self.options = options
        self._tell = tell
        self._directory = options.data_dir
        self._keys = self._directory / "keys"
        self._logs = self._directory / "logs"
        self._pids = self._directory / "pids"
        self._offset = 0
        self._lock: IO[str] | None = None
        self._children: list[Child] = []
        self.state: state.State
        self.postgres = Postgres(self._directory / "postgres", self._logs / "postgres.log")
        self.house: Keys
        self.anvils: list[Anvil] = []
        self.chains: list[world.Chain] = []
        self.simulators = Simulators(self._directory)
        self.services = Services(self._directory, options.port)

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> dict[str, Any]:
        """Everything, and the ready-file last of all; returns what is in it. Raises BezantError."""
        await self._take_directory()
        self.state = state.load(self._keys, self.options.networks)
        state.save(self._keys, self.state)
        await self._start_early()
        self._tell("PostgreSQL and Anvil")
        await asyncio.gather(
            self._start_database(), *(self._start_anvil(anvil) for anvil in self.anvils)
        )
        self._tell("contracts, tokens and feeds")
        await self._check_books()
        await asyncio.gather(
            *(
                deploy(anvil.node, chain, self.house)
                for anvil, chain in zip(self.anvils, self.chains, strict=True)
            )
        )
        await self._found()
        await self.refresh_feeds()
        self._tell("API, worker, signer and exchanges")
        await asyncio.gather(self.services.start(), self.simulators.until_ready())
        from sandbox import venue_books

        if missing := await venue_books.awaited(self.postgres.url):
            self._tell(f"quotes wait for books: {', '.join(missing)}")
        return self._write_ready()

    async def _start_early(self) -> None:
        """Everybody's place is known before anybody is there, so the services need not wait for
        the others to be started: they import meanwhile."""
        self.postgres.locate()
        self.anvils = [self._anvil(i) for i in world.CHAIN_IDS[: self.state.networks]]
        self.house = keys.house(self.state, self.services.signer_directory)
        self.chains = [plan(a.chain_id, a.node.url, self.house) for a in self.anvils]
        keys.authorise(self.services.signer_directory, self.state, self.chains, self.house)
        self._children += [*self.services.all, self.simulators.child]
        await self.simulators.prepare(self.state, self.chains)
        await self.services.prepare(self.postgres.url, self.state, self.chains, self.simulators)

    async def _found(self) -> None:
        from sandbox import founding

        await founding.found(self.postgres.url, self.state, self.chains, self.house)
        state.save(self._keys, self.state)
        self.services.keep(state.OPERATOR_KEY, self.state.operator_key)

    async def _take_directory(self) -> None:
        """This directory is ours alone; what a killed predecessor left is ended first."""
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = (self._directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise BezantError(
                f"another sandbox runs in {self._directory}: stop it, or choose another --data-dir"
            ) from None
        self._lock = lock
        await processes.end_leftovers(self._pids, str(self._directory))
        ready.forget(self._directory, self.options.ready_file)
        if self.options.fresh:
            for name in ("postgres", "anvil", "keys", "logs", "signer", "exchanges"):
                shutil.rmtree(self._directory / name, ignore_errors=True)
        for name in ("anvil", "logs"):
            (self._directory / name).mkdir(exist_ok=True)

    async def _start_database(self) -> None:
        await self.postgres.prepare()
        await self.postgres.start()
        assert self.postgres.child is not None  # noqa: S101  (locate made it)
        self._note(self.postgres.child)
        await asyncio.to_thread(_migrate, self.postgres.url)

    def _anvil(self, chain_id: int) -> Anvil:
        return Anvil(
            chain_id,
            self.state.genesis,
            self._directory / "anvil" / f"{chain_id}.json",
            self._logs / f"anvil-{chain_id}.log",
            self._now,
        )

    async def _start_anvil(self, anvil: Anvil) -> None:
        await anvil.start()
        self._note(anvil.child)

    async def _check_books(self) -> None:
        """The kept chain must be the one that the kept database followed; then the same time."""
        await self._read_offset()
        known = cursors(self.postgres.url)
        for anvil in self.anvils:
            network = f"eip155:{anvil.chain_id}"
            if network in known:
                await check_same_chain(anvil.node, network, *known[network])
            if self._offset:
                await anvil.node.set_time(self._now())

    def _note(self, child: Child) -> None:
        if child not in self._children:
            self._children.append(child)
        processes.note(self._pids, [c.pid for c in self._children])

    def _write_ready(self) -> dict[str, Any]:
        processes.note(self._pids, [c.pid for c in self._children])
        content = summary(self)
        ready.write(content, self._directory, self.options.ready_file)
        return content

    # -- run -----------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Until cancelled: whoever dies is started again, and the feeds stay fresh.

        Raises BezantError when one cannot be started again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._guard(self.services.api, self.services.restart_api))
                for child in (
                    self.services.worker, self.services.signer, self.simulators.child,
                ):  # fmt: skip
                    group.create_task(self._guard(child, child.start))
                group.create_task(self._guard(self.postgres.child, self.postgres.start))
                for anvil in self.anvils:
                    group.create_task(self._guard(anvil.child, anvil.start))
                group.create_task(self._keep_feeds())
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _guard(self, child: Child | None, restart: Callable[[], Awaitable[None]]) -> None:
        """A child that dies is started again; one that is only stopped (SIGSTOP) is left alone."""
        assert child is not None  # noqa: S101  (all are started)
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            started = loop.time()
            code = await child.wait()
            pause = 0.0 if loop.time() - started > STEADY_SECONDS else min(5.0, pause + 0.5)
            self._tell(f"{child.name} ended ({code}) and is started again")
            await asyncio.sleep(pause)
            await self._read_offset()
            await restart()
            self._write_ready()

    async def _keep_feeds(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self._read_offset()
            try:
                await self.refresh_feeds()
            except ChainError as error:
                self._tell(f"feeds not refreshed: {error}")

    async def refresh_feeds(self) -> None:
        """Those that nobody set by hand, before their heartbeat is over."""
        for anvil, chain in zip(self.anvils, self.chains, strict=True):
            old = await feeds.stale(
                anvil.node, chain.feeds.values(), self._now(), older_than=REFRESH_OLDER_SECONDS
            )
            if old:
                await feeds.renew(anvil.node, old, self._now())

    async def _read_offset(self) -> None:
        """The test clock; as before while the database is away."""
        self._offset = await clock_offset(self.postgres.url, self._offset)

    def _now(self) -> int:
        return int(wall().timestamp()) + self._offset

    # -- stop ----------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Services and chains together, the database last; nothing outlives this."""
        database = self.postgres.child
        others = [child for child in self._children if child is not database]
        await asyncio.gather(*(child.stop(STOP_SECONDS) for child in others))
        if database is not None:
            await database.stop(STOP_SECONDS)
        self.services.close()
        self.simulators.close()
        if self._lock is not None:
            ready.forget(self._directory, self.options.ready_file)
            self._pids.unlink(missing_ok=True)
            self._lock.close()


def _migrate(url: str) -> None:
    from core import schema  # costs a second, in which the others start

    schema.migrate(url)


async def run(
    options: Options,
    tell: Callable[[str], None],
    then: Callable[[dict[str, Any]], Awaitable[bool]],
) -> None:
    """The sandbox until SIGINT or SIGTERM. `then` is called once it is ready; it answers whether
    the sandbox goes on. Raises BezantError when something does not start."""
    supervisor = Supervisor(options, tell)

    async def live() -> None:
        content = await supervisor.start()
        watching = asyncio.create_task(supervisor.watch())
        try:
            if await then(content):
                await watching
        finally:
            watching.cancel()

    living = asyncio.create_task(live())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, living.cancel)
    try:
        await living
    except asyncio.CancelledError:
        tell("stopping")
    finally:
        await supervisor.stop()
