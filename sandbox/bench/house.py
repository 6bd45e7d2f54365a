"""What the measures run on: a sandbox of their own, databases and nodes beside it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from core.clock import wall
from core.db import Database, plain_url
from core.errors import BezantError
from core.ids import read
from merchants import keys, scopes
from sandbox import processes
from sandbox.anvil import binary
from sandbox.node import Node
from sandbox.supervisor import Options, Supervisor

STOP_SECONDS = 3
START_SECONDS = 20
KEYS = 8  # the rate limit is per key, and it is not what is measured


@dataclass(slots=True)
class House:
    """A running sandbox. `quick`: fewer and shorter rounds, for a look at the shape."""

    sandbox: Supervisor
    quick: bool
    directory: Path
    tell: Callable[[str], None]
    api_keys: Sequence[str] = ()

    def number(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def database_url(self) -> str:
        return self.sandbox.postgres.url

    @property
    def node(self) -> Node:
        return self.sandbox.anvils[0].node

    @property
    def api(self) -> tuple[str, int]:
        host, _, port = self.sandbox.services.api_url.removeprefix("http://").partition(":")
        return host, int(port)

    def http(self) -> aiohttp.ClientSession:
        """To our API, as the sandbox's merchant."""
        return aiohttp.ClientSession(
            self.sandbox.services.api_url,
            headers={"Authorization": f"Bearer {self.sandbox.state.api_key}"},
        )

    @asynccontextmanager
    async def database(self, name: str, template: str = "template0") -> AsyncIterator[str]:
        """A database of this name in the sandbox's cluster, gone afterwards; yields its URL."""
        await self._admin("drop database if exists {} with (force)", name)
        await self._admin("create database {} template {}", name, template)
        try:
            yield plain_url(
                make_url(self.database_url).set(database=name).render_as_string(hide_password=False)
            )
        finally:
            await self._admin("drop database if exists {} with (force)", name)

    async def analyze(self) -> None:
        """What autovacuum does within the minute: plans for empty tables are not a shop's."""
        await self._admin("analyze")

    async def tidy(self) -> None:
        """What PostgreSQL does within minutes by itself after much was written: its work is owed
        by what wrote, not by an idle installation."""
        await self._admin("vacuum (analyze)")
        await self._admin("checkpoint")

    async def _admin(self, statement: str, *names: str) -> None:
        async with await psycopg.AsyncConnection.connect(
            plain_url(self.database_url), autocommit=True
        ) as connection:
            await connection.execute(
                sql.SQL(statement).format(*(sql.Identifier(name) for name in names))
            )

    @asynccontextmanager
    async def python(self, module: str, *arguments: str) -> AsyncIterator[tuple[str, int]]:
        """A server of the bench in a process of its own; yields where it listens."""
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        bound.listen(1024)
        fd = bound.fileno()
        child = processes.Child(
            module,
            [sys.executable, "-m", f"sandbox.bench.{module}", str(fd), *arguments],
            self.directory / f"{module}.log",
            pass_fds=[fd],
        )
        await child.start()
        host, port = bound.getsockname()
        bound.close()
        try:
            yield host, port
        finally:
            await child.stop(STOP_SECONDS)

    @asynccontextmanager
    async def anvil(self, chain_id: int) -> AsyncIterator[Node]:
        """A chain that nobody else follows, and that saves no state: it would every 5 s."""
        port = processes.free_port()
        child = processes.Child(
            f"anvil {chain_id}",
            [
                *(binary(), "--silent", "--host", "127.0.0.1", "--port", str(port)),
                *("--chain-id", str(chain_id), "--timestamp", str(self.sandbox.state.genesis)),
                # Its states fill gigabytes, which it would leave in the home directory.
                *("--cache-path", str(self.directory / f"states-{chain_id}")),
            ],
            self.directory / f"anvil-{chain_id}.log",
        )
        node = Node(f"http://127.0.0.1:{port}")
        await child.start()
        try:
            await until_answers(node.url)
            await node.open_faucet()
            await node.set_time(int(wall().timestamp()))
            yield node
        finally:
            await child.stop(STOP_SECONDS)


@asynccontextmanager
async def open_house(
    directory: Path, quick: bool, tell: Callable[[str], None]
) -> AsyncIterator[House]:
    """A fresh sandbox with two networks. Raises BezantError when it does not start."""
    sandbox = Supervisor(Options(data_dir=directory / "sandbox", port=0, fresh=True), tell)
    try:
        await sandbox.start()
        watching = asyncio.create_task(sandbox.watch())
        house = House(sandbox, quick, directory, tell)
        house.api_keys = await _more_keys(house)
        try:
            yield house
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await sandbox.stop()


async def _more_keys(house: House) -> list[str]:
    database = Database(house.database_url, size=1)
    merchant = read("mer", house.sandbox.state.merchant_id)
    try:
        async with database.begin() as session:
            made = [
                await keys.create_key(session, merchant, [scopes.EVERYTHING], "bench", wall())
                for _ in range(KEYS)
            ]
    finally:
        await database.close()
    return [token for _, token in made]


async def until_answers(url: str) -> None:
    """Waits for a server of the bench. Raises BezantError when it does not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            if loop.time() > deadline:
                raise BezantError(f"{url} does not answer")
            await asyncio.sleep(0.05)
