"""A real signer: its process, its socket, its directory."""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bezant.custody import apply_policy, keep_key
from bezant.environment import load_signer
from bezant.signer import run
from core.errors import Misconfigured
from tests.unit.wallets.signer import world as w
from tests.waiting import eventually
from wallets.signer.audit import read
from wallets.signer.client import SignerClient
from wallets.signer.place import Place

SHARED_KEY = bytes(range(32))
PASSWORD = "canary-password-7f3a9"
WORK = 1 << 4  # scrypt's n: these keys hold nothing
START_SECONDS = 30


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bezant.signer", "tests.integration.wallets.signer.process"])


def serve(directory: Path, environment: dict[str, str], output: Path) -> None:
    """Runs in the child."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 2)
    # AWS's library reads these by itself.
    os.environ.update({k: v for k, v in environment.items() if k.startswith("AWS_")})
    try:
        run(load_signer(directory, None, environment), None, environment)
    except Misconfigured as error:
        print(error, file=sys.stderr)
        sys.exit(2)


class SignerProcess:
    """`start` and `kill` as often as a test wants; the directory stays."""

    def __init__(self, directory: Path) -> None:
        self.place = Place(directory)
        self.process: BaseProcess | None = None

    def found(self, policy: str = w.POLICY) -> None:
        """Keys and policy, as an operator would place them."""
        keys = (("hot", w.HOT_KEY), ("relayer", w.RELAYER_KEY), ("quote", w.QUOTE_KEY))
        for kind, key in keys:
            keep_key(self.place.directory, kind, kind, bytearray(key), password=PASSWORD, work=WORK)
        self.apply(policy)

    def apply(self, policy: str) -> None:
        file = self.place.directory / "policy.toml"
        file.write_text(policy)
        apply_policy(self.place.directory, file)
        file.unlink()

    def environment(self) -> dict[str, str]:
        return {
            "BEZANT_SERVICE_KEY": base64.b64encode(SHARED_KEY).decode(),
            "BEZANT_KEYSTORE_PASSWORD": PASSWORD,
        }

    async def start(self) -> None:
        """Returns once it listens. A process of its own, forked from one that has imported all
        that it needs; `test_commands` starts it as an operator does."""
        before = self.output().count(b"signer_ready")
        self.process = FORKS.Process(
            target=serve, args=(self.place.directory, self.environment(), self.output_file)
        )
        self.process.start()

        async def ready() -> bool:
            assert self.process is not None
            assert self.process.is_alive(), self.output().decode()
            return self.output().count(b"signer_ready") > before

        await eventually(ready, START_SECONDS)

    async def stop(self, number: int = signal.SIGTERM) -> int | None:
        assert self.process is not None
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)
        await asyncio.to_thread(self.process.join)
        return self.process.exitcode

    @property
    def output_file(self) -> Path:
        return self.place.directory.parent / "stderr"

    def output(self) -> bytes:
        return self.output_file.read_bytes() if self.output_file.exists() else b""

    def client(self, key: bytes = SHARED_KEY, timeout_seconds: float = 10) -> SignerClient:
        return SignerClient(self.place.socket, key, timeout_seconds=timeout_seconds)

    def log(self) -> list[dict[str, Any]]:
        """Every line, proved to follow the one before."""
        return [said for _, said in read(self.place.log)]

    def codes(self, event: str) -> list[str]:
        return [said["code"] for said in self.log() if said["event"] == event]

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.place.store) as database:
            return database.execute(query).fetchall()


@asynccontextmanager
async def open_signer(policy: str = w.POLICY) -> AsyncIterator[SignerProcess]:
    """A directory with a short name (a socket's path is at most 107 bytes), keys and policy."""
    folder = Path(tempfile.mkdtemp(prefix="bz-"))
    found = SignerProcess(folder / "s")
    try:
        found.place.prepare()
        found.found(policy)
        await found.start()
        yield found
    finally:
        if found.process is not None:
            await found.stop()
        shutil.rmtree(folder)
