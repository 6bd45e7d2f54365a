"""The sandbox's API, worker and signer: the real processes of an installation, on sockets of ours.

Each is told what it needs and no more: only the signer the keystore's password, only signer and
worker the key by which they know each other, only the worker the keys to the venues.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import BezantError
from sandbox import keys, ready, world
from sandbox.processes import Child, Gate
from sandbox.simulators import Simulators, key_variables
from sandbox.state import APPROVER_KEY, State
from sandbox.world import Chain

PORT = 8000  # if nothing was asked for and nobody has it
READY_SECONDS = 60


class Services:
    """Three children. API and metrics listen on sockets of ours: while one restarts, callers wait
    and are not refused.

    `port` None: 8000 if free, else any. Raises BezantError when a wished port is taken.
    """

    def __init__(self, directory: Path, port: int | None) -> None:
        self._directory = directory
        self._gate = Gate()
        self._api = _listen(port)
        self._metrics = _listen(0)
        self.api_url = f"http://127.0.0.1:{self._api.getsockname()[1]}"
        self.metrics_url = f"http://127.0.0.1:{self._metrics.getsockname()[1]}/metrics"
        self.api = self._child("api", "--fd", self._api)
        self.worker = self._child("worker", "--metrics-fd", self._metrics)
        self.signer_directory = directory / "signer"
        self.signer_socket = keys.socket_in(self.signer_directory)
        command = [sys.executable, "-m", "bezant.cli", "signer"]
        place = ["--dir", str(self.signer_directory), "--socket", str(self.signer_socket)]
        self.signer = Child("signer", [*command, *place], directory / "logs" / "signer.log")

    @property
    def all(self) -> tuple[Child, ...]:
        return self.signer, self.api, self.worker

    def _child(self, name: str, option: str, bound: socket.socket) -> Child:
        command = [sys.executable, "-m", "bezant.cli", name]
        config = ["--config", str(self._directory / "bezant.toml")]
        gate = ["--gate", str(self._gate.fd)]
        return Child(
            name,
            [*command, *config, *gate, option, str(bound.fileno())],
            self._directory / "logs" / f"{name}.log",
            pass_fds=[bound.fileno(), self._gate.fd],
        )

    async def prepare(
        self,
        database_url: str,
        state: State,
        chains: Sequence[Chain],
        simulators: Simulators,
    ) -> None:
        """Writes their configuration and starts them; they import and wait for `start`."""
        written = world.configuration(chains, simulators.sections(chains))
        (self._directory / "bezant.toml").write_text(written)
        secret = {"BEZANT_SECRET_KEY_FILE": self.keep("secret.key", state.secret_key)}
        service = {"BEZANT_SERVICE_KEY_FILE": self.keep("service.key", state.service_key)}
        self.keep(APPROVER_KEY.name, "0x" + state.approver_key)
        password = self.keep("keystore.password", state.keystore_password)
        socket = {"BEZANT_SIGNER_SOCKET": str(self.signer_socket)}
        installation = secret | {
            "BEZANT_DATABASE_URL": database_url,
            "BEZANT_DATA_DIR": str(self._directory),
            "BEZANT_PUBLIC_URL": self.api_url,
        }
        self.api.environment = installation
        venues = {
            f"{name}_FILE": self.keep(name.lower().replace("_", "."), text)
            for name, text in key_variables(state).items()
        }
        self.worker.environment = installation | service | socket | venues
        self.signer.environment = service | {"BEZANT_KEYSTORE_PASSWORD_FILE": password}
        for child in self.all:
            await child.start()

    def keep(self, name: str, text: str) -> str:
        """Writes a secret for our user only; the file's path."""
        file = self._directory / "keys" / name
        file.touch(0o600)
        file.write_text(text)
        return str(file)

    async def start(self) -> None:
        """Lets them begin; returns when money can be taken. Raises BezantError when it cannot."""
        self._gate.open()
        await self._until_ready()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while (problem := await self._problem()) is not None:
            for child in self.all:
                if not child.running:
                    raise BezantError(f"{child.name} did not start:\n{child.tail()}")
            if loop.time() > deadline:
                raise BezantError(f"not ready after {READY_SECONDS} s: {problem}")
            await asyncio.sleep(0.05)

    async def _problem(self) -> str | None:
        return await ready.problem(self.api_url) or await ready.unheard(self.signer_socket)

    async def restart_api(self) -> None:
        """Returns when it answers, or died again."""
        await self.api.start()
        await ready.answers(self.api_url)

    def close(self) -> None:
        """All are gone by now."""
        self._gate.close()
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
