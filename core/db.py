"""The database: one engine, sessions that only the edge commits, and raw psycopg for hot writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, cast

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase

from core.errors import BezantError
from core.types import IntegerLoader

# Owns nothing, so that a trigger cannot be switched off by it (DESIGN 1, decision 1).
SERVICE_ROLE = "bezant_service"

Raw = psycopg.AsyncConnection[Any]

# DESIGN 4: a host that dies without goodbye frees its advisory locks within 15 s, and the rows that
# it had locked in the middle of a transaction as well.
KEEPALIVES = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# No call is made with a transaction open, so one that rests is a process that was stopped: the
# rows it holds are wanted.
REST_SECONDS = 60
# One that was stopped between the statements of a pipeline does not rest, for the server: only
# PostgreSQL 17 and later end it. Nothing of ours takes as long.
LONGEST_SECONDS = 600
_LONGEST = (
    f"select set_config('transaction_timeout', '{LONGEST_SECONDS}s', false)"
    " where current_setting('server_version_num')::int >= 170000"
)
# A connection that nobody needed for so long costs the server memory (some 3 MB) and us nothing to
# make again.
IDLE_SECONDS = 10
# How often `notify_soon` speaks at most.
NOTIFY_SECONDS = 0.05


class Base(DeclarativeBase):
    """Every table's metadata; migrations are compared with it by a test."""


def driver_url(url: str) -> URL:
    """Any PostgreSQL URL -> the one SQLAlchemy wants for psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def plain_url(url: str) -> str:
    """Any PostgreSQL URL -> the one libpq wants, which takes no space in a password."""
    rendered = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return rendered.replace(" ", "%20")


def session_settings(url: str, *, service: bool = True) -> bytes:
    """What every connection begins with. Over TCP the server gives up on a silent peer in 15 s."""
    settings = {"idle_in_transaction_session_timeout": REST_SECONDS * 1000}
    host = str(driver_url(url).query.get("host") or driver_url(url).host or "/")
    if not host.startswith("/"):
        settings |= KEEPALIVES
    statements = [f"set {name} = {value}" for name, value in settings.items()]
    if service:
        statements.append(_LONGEST)
        statements.append(f"set role {SERVICE_ROLE}")
    return "; ".join(statements).encode()


class Database:
    """Engine and session factory. `service=False` keeps the URL's own role (migrations)."""

    def __init__(
        self,
        url: str,
        *,
        size: int = 10,
        overflow: int = 20,
        service: bool = True,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            driver_url(url),
            pool_size=size,
            max_overflow=overflow,
            pool_pre_ping=False,
            pool_use_lifo=True,  # the one whose statements are prepared and whose caches are warm
        )
        self._begin = session_settings(url, service=service)
        event.listen(self.engine.sync_engine, "connect", self._prepare)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._readers = async_sessionmaker(  # of the same pool
            self.engine.execution_options(postgresql_readonly=True), expire_on_commit=False
        )
        # Beside the engine's pool: checking a connection out of that one costs a request more
        # CPU than most of its statements do.
        self._idle: list[tuple[Raw, float]] = []  # since when, the latest last
        self._idle_seconds = idle_seconds
        self._free = asyncio.Semaphore(size)
        self._news: dict[str, bool] = {}
        self._speaking: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed at the end, rolled back by an exception."""
        async with self._sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session in a read-only transaction: what it would write is refused.

        It ends by COMMIT, also where what was asked for is not there: after a ROLLBACK psycopg
        forgets every statement that it has prepared on the connection, and planning them anew
        costs more than most take.
        """
        async with self._readers() as session:
            try:
                yield session
            except BezantError:
                await session.commit()
                raise
            await session.commit()

    @asynccontextmanager
    async def rehearse(self) -> AsyncIterator[AsyncSession]:
        """A session whose writes are real until its end, where all of them are rolled back."""
        async with self._sessions() as session:
            yield session

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Raw]:
        """A psycopg connection in autocommit mode, for one statement that is all of the work.

        It is its own transaction: no BEGIN, no COMMIT, one round trip. Raises OperationalError
        while the database is away.
        """
        async with self._free:
            connection = self._idle.pop()[0] if self._idle else await self.connect_alone()
            try:
                yield connection
            except psycopg.OperationalError:  # the others' peer has gone as well, most likely
                await self._hang_up()
                raise
            finally:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._idle.append((connection, monotonic()))
                else:  # broken, or cancelled in the middle
                    await connection.close()
                if self._idle and monotonic() - self._idle[0][1] > self._idle_seconds:
                    await self._idle.pop(0)[0].close()

    async def connect_alone(self) -> Raw:
        """A psycopg connection of its own, outside the pool, autocommit: LISTEN, advisory locks."""
        connection = await psycopg.AsyncConnection.connect(plain_url(self.url), autocommit=True)
        connection.adapters.register_loader("numeric", IntegerLoader)
        set_json_loads(msgspec.json.decode, connection)  # a third of the time
        await connection.execute(self._begin)
        return connection

    def notify_soon(self, channel: str) -> None:
        """Wakes who listens to `channel`: at once, but once for all who ask within NOTIFY_SECONDS.

        For after a commit that comes often: PostgreSQL lets transactions that NOTIFY commit one by
        one only. If this process dies first, the listeners' slow poll finds what was committed.
        """
        if channel not in self._news:
            task = asyncio.create_task(self._speak(channel))
            self._speaking.add(task)
            task.add_done_callback(self._speaking.discard)
        self._news[channel] = True

    async def _speak(self, channel: str) -> None:
        try:
            while self._news[channel]:
                self._news[channel] = False
                async with self.statement() as connection:
                    await connection.execute("select pg_notify(%s, '')", (channel,))
                await asyncio.sleep(NOTIFY_SECONDS)
        except psycopg.OperationalError:  # away: its listeners look around when it is back
            pass
        finally:
            del self._news[channel]

    async def _hang_up(self) -> None:
        while self._idle:
            await self._idle.pop()[0].close()

    def _prepare(self, dbapi_connection: Any, _record: Any) -> None:
        """A new connection of the pool."""
        dbapi_connection.driver_connection.adapters.register_loader("numeric", IntegerLoader)
        cursor = dbapi_connection.cursor()
        cursor.execute(self._begin)
        cursor.close()
        dbapi_connection.commit()

    async def close(self) -> None:
        for task in self._speaking:
            task.cancel()
        await asyncio.gather(*self._speaking, return_exceptions=True)
        await self._hang_up()
        await self.engine.dispose()


async def raw(session: AsyncSession) -> Raw:
    """The session's own psycopg connection, inside its transaction."""
    return await raw_of(await session.connection())


async def snapshot(session: AsyncSession) -> Raw:
    """The same, reading one moment of the database. Before anything else in the transaction."""
    connection = await raw(session)
    await connection.execute("set transaction isolation level repeatable read read only")
    return connection


async def raw_of(connection: AsyncConnection) -> Raw:
    fairy = await connection.get_raw_connection()
    return cast("Raw", fairy.driver_connection)
