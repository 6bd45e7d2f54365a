"""A real signer: its process, its socket, its directory."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bezant.custody import apply_policy, keep_key
from tests.unit.wallets.signer import world as w
from wallets.signer.audit import read
from wallets.signer.client import SignerClient
from wallets.signer.place import Place

SHARED_KEY = bytes(range(32))
PASSWORD = "canary-password-7f3a9"
WORK = 1 << 4  # scrypt's n: these keys hold nothing
START_SECONDS = 30


class SignerProcess:
    """`start` and `kill` as often as a test wants; the directory stays."""

    def __init__(self, directory: Path) -> None:
        self.place = Place(directory)
        self.output = b""
        self.process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

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
        kept = {n: v for n, v in os.environ.items() if not n.startswith("BEZANT_")}
        return {
            **kept,
            "BEZANT_SERVICE_KEY": base64.b64encode(SHARED_KEY).decode(),
            "BEZANT_KEYSTORE_PASSWORD": PASSWORD,
        }

    async def start(self) -> None:
        """Returns once it listens."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bezant.cli", "signer", "--dir", str(self.place.directory)),
            env=self.environment(),
            stderr=asyncio.subprocess.PIPE,
        )
        ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(ready))
        async with asyncio.timeout(START_SECONDS):
            await ready.wait()
        assert self.process.returncode is None, self.output.decode()

    async def _read(self, ready: asyncio.Event) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.output += line
            if b"signer_ready" in line:
                ready.set()
        await self.process.wait()
        ready.set()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        assert self._reading is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await self.process.wait()
        await self._reading
        return code

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
