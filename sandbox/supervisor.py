"""`bezant sandbox`: a whole shop on this machine, started side by side and gone together."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core import schema
from core.clock import wall
from core.errors import BezantError, ChainError
from sandbox import feeds, founding, processes, ready, state, world
from sandbox.anvil import Anvil, check_same_chain
from sandbox.deploy import deploy
from sandbox.postgres import Postgres
from sandbox.processes import Child

PORT = 8000  # if nothing was asked for and nobody has it
READY_SECONDS = 60
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
    """Runs once: `start`, then `watch` until told to stop, then `stop`."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self.options = options
        self._tell = tell
        self._directory = options.data_dir
        self._keys = self._directory / "keys"
        self._logs = self._directory / "logs"
        self._pids = self._directory / "pids"
        self._offset = 0
        self._lock: IO[str] | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._children: list[Child] = []
        self.state: state.State
        self.postgres = Postgres(self._directory / "postgres", self._logs / "postgres.log")
        self.anvils: list[Anvil] = []
        self.chains: list[world.Chain] = []
        self.api: Child
        self.worker: Child

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> dict[str, Any]:
        """Everything, and the ready-file last of all; returns what is in it. Raises BezantError."""
        await self._take_directory()
        self.state = state.load(self._keys, self.options.networks)
        state.save(self._keys, self.state)
        self._sockets = {"api": _listen(self.options.port), "metrics": _listen(0)}
        chain_ids = world.CHAIN_IDS[: self.state.networks]
        self._tell("PostgreSQL and Anvil")
        await asyncio.gather(self._start_database(), *(self._start_anvil(i) for i in chain_ids))
        self._tell("contracts, tokens and feeds")
        owner, treasury = (
            bytes.fromhex(k) for k in (self.state.owner_key, self.state.treasury_key)
        )
        await self._check_books()
        self.chains = list(
            await asyncio.gather(
                *(deploy(a.node, a.chain_id, owner, treasury) for a in self.anvils)
            )
        )
        await founding.found(self.postgres.url, self.state, self.chains)
        state.save(self._keys, self.state)
        await self.refresh_feeds()
        self._tell("API and worker")
        await self._start_services()
        await self._until_ready()
        return self._write_ready()

    async def _take_directory(self) -> None:
        """This directory is ours alone; what a killed predecessor left is ended first."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = (self._directory / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BezantError(
                f"another sandbox runs in {self._directory}: stop it, or choose another --data-dir"
            ) from None
        await processes.end_leftovers(self._pids, str(self._directory))
        ready.forget(self._directory, self.options.ready_file)
        if self.options.fresh:
            for name in ("postgres", "anvil", "keys", "logs"):
                shutil.rmtree(self._directory / name, ignore_errors=True)
        for name in ("anvil", "logs"):
            (self._directory / name).mkdir(exist_ok=True)

    async def _start_database(self) -> None:
        await self.postgres.prepare()
        await self.postgres.start()
        assert self.postgres.child is not None  # noqa: S101  (prepare made it)
        self._note(self.postgres.child)
        await asyncio.to_thread(schema.migrate, self.postgres.url)

    async def _start_anvil(self, chain_id: int) -> None:
        anvil = Anvil(
            chain_id,
            self.state.genesis,
            self._directory / "anvil" / f"{chain_id}.json",
            self._logs / f"anvil-{chain_id}.log",
            self._now,
        )
        self.anvils.append(anvil)
        await anvil.start()
        assert anvil.child is not None  # noqa: S101  (start made it)
        self._note(anvil.child)

    async def _check_books(self) -> None:
        """The kept chain must be the one that the kept database followed; then the same time."""
        self.anvils.sort(key=lambda anvil: anvil.chain_id)
        await self._read_offset()
        known = founding.cursors(self.postgres.url)
        for anvil in self.anvils:
            network = f"eip155:{anvil.chain_id}"
            if network in known:
                await check_same_chain(anvil.node, network, *known[network])
            if self._offset:
                await anvil.node.set_time(self._now())

    async def _start_services(self) -> None:
        config = self._directory / "bezant.toml"
        config.write_text(world.configuration(self.chains))
        secret = self._keys / "secret.key"
        secret.touch(0o600)
        secret.write_text(self.state.secret_key)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BEZANT_")} | {
            "BEZANT_DATABASE_URL": self.postgres.url,
            "BEZANT_DATA_DIR": str(self._directory),
            "BEZANT_PUBLIC_URL": self.api_url,
            "BEZANT_SECRET_KEY_FILE": str(secret),
        }
        self.api = self._service("api", "--fd", self._sockets["api"], config, environment)
        self.worker = self._service(
            "worker", "--metrics-fd", self._sockets["metrics"], config, environment
        )
        await asyncio.gather(self.api.start(), self.worker.start())

    def _service(
        self,
        name: str,
        option: str,
        bound: socket.socket,
        config: Path,
        environment: dict[str, str],
    ) -> Child:
        """The socket stays ours: while the service restarts, callers wait and are not refused."""
        fd = bound.fileno()
        arguments = [sys.executable, "-m", "bezant.cli", name, "--config", str(config)]
        child = Child(
            name,
            [*arguments, option, str(fd)],
            self._logs / f"{name}.log",
            environment,
            pass_fds=[fd],
        )
        self._children.append(child)
        return child

    async def _until_ready(self) -> None:
        """Raises BezantError when the API says for too long that it is not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while (problem := await ready.problem(self.api_url)) is not None:
            for child in (self.api, self.worker):
                if not child.running:
                    raise BezantError(f"{child.name} did not start:\n{child.tail()}")
            if loop.time() > deadline:
                raise BezantError(f"not ready after {READY_SECONDS} s: {problem}")
            await asyncio.sleep(0.05)

    def _note(self, child: Child) -> None:
        if child not in self._children:
            self._children.append(child)
        processes.note(self._pids, [c.pid for c in self._children])

    def _write_ready(self) -> dict[str, Any]:
        processes.note(self._pids, [c.pid for c in self._children])
        content = ready.content(self)
        ready.write(content, self._directory, self.options.ready_file)
        return content

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._sockets['api'].getsockname()[1]}"

    @property
    def metrics_url(self) -> str:
        """The worker's own metrics."""
        return f"http://127.0.0.1:{self._sockets['metrics'].getsockname()[1]}/metrics"

    # -- run -----------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Until cancelled: whoever dies is started again, and the feeds stay fresh."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._guard(self.api, self._restart_api))
            group.create_task(self._guard(self.worker, self.worker.start))
            group.create_task(self._guard(self.postgres.child, self.postgres.start))
            for anvil in self.anvils:
                group.create_task(self._guard(anvil.child, anvil.start))
            group.create_task(self._keep_feeds())

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

    async def _restart_api(self) -> None:
        await self.api.start()
        await ready.answers(self.api_url)

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
        self._offset = await founding.clock_offset(self.postgres.url, self._offset)

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
        for bound in self._sockets.values():
            bound.close()
        if self._lock is not None:
            ready.forget(self._directory, None)
            self._pids.unlink(missing_ok=True)
            self._lock.close()


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
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(supervisor.watch())
            if not await then(content):
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


def _listen(port: int | None) -> socket.socket:
    """Bound here and handed to the service. Raises BezantError when a wished port is taken."""
    for candidate in (PORT, 0) if port is None else (port,):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", candidate))
            bound.listen(2048)
        except OSError:
            bound.close()
            continue
        return bound
    raise BezantError(f"--port {port} is taken: choose another one, or 0 for any")
