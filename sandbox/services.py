"""The sandbox's API and worker: the real processes of an installation, on sockets of ours."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import BezantError
from sandbox import ready, world
from sandbox.processes import Child

PORT = 8000  # if nothing was asked for and nobody has it
READY_SECONDS = 60


class Services:
    """Two children. The sockets stay ours: while one restarts, callers wait and are not refused.

    `port` None: 8000 if free, else any. Raises BezantError when a wished port is taken.
    """

    def __init__(self, directory: Path, port: int | None) -> None:
        self._directory = directory
        self._api = _listen(port)
        self._metrics = _listen(0)
        self.api_url = f"http://127.0.0.1:{self._api.getsockname()[1]}"
        self.metrics_url = f"http://127.0.0.1:{self._metrics.getsockname()[1]}/metrics"
        self.api = self._child("api", "--fd", self._api)
        self.worker = self._child("worker", "--metrics-fd", self._metrics)

    def _child(self, name: str, option: str, bound: socket.socket) -> Child:
        command = [sys.executable, "-m", "bezant.cli", name]
        config = ["--config", str(self._directory / "bezant.toml")]
        return Child(
            name,
            [*command, *config, option, str(bound.fileno())],
            self._directory / "logs" / f"{name}.log",
            pass_fds=[bound.fileno()],
        )

    async def start(self, database_url: str, secret: str, chains: Sequence[world.Chain]) -> None:
        """Writes their configuration, starts both and waits until money can be taken.

        Raises BezantError when it cannot.
        """
        (self._directory / "bezant.toml").write_text(world.configuration(chains))
        key = self._directory / "keys" / "secret.key"
        key.touch(0o600)
        key.write_text(secret)
        others = {k: v for k, v in os.environ.items() if not k.startswith("BEZANT_")}
        environment = others | {
            "BEZANT_DATABASE_URL": database_url,
            "BEZANT_DATA_DIR": str(self._directory),
            "BEZANT_PUBLIC_URL": self.api_url,
            "BEZANT_SECRET_KEY_FILE": str(key),
        }
        for child in (self.api, self.worker):
            child.environment = environment
            await child.start()
        await self._until_ready()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while (problem := await ready.problem(self.api_url)) is not None:
            for child in (self.api, self.worker):
                if not child.running:
                    raise BezantError(f"{child.name} did not start:\n{child.tail()}")
            if loop.time() > deadline:
                raise BezantError(f"not ready after {READY_SECONDS} s: {problem}")
            await asyncio.sleep(0.05)

    async def restart_api(self) -> None:
        """Returns when it answers, or died again."""
        await self.api.start()
        await ready.answers(self.api_url)

    def close(self) -> None:
        """Both are gone by now."""
        self._api.close()
        self._metrics.close()


def _listen(port: int | None) -> socket.socket:
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
