"""Puts the parts together: settings in, a running context or an application out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import structlog

from bezant.settings import Settings
from bezant.unsigned import NoSigner
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.errors import Misconfigured
from core.listen import Listener
from core.work import DATABASE_AWAY

if TYPE_CHECKING:  # a worker needs no web framework, an API no signer
    from fastapi import APIRouter, FastAPI

    from wallets.signer.client import Signer

log = structlog.get_logger()

# Every channel that anybody notifies; a process that does not care is not woken by it.
CHANNELS = (
    "block", "clock", "deliveries", "entry_pending", "event_pending", "events", "invoice", "keys",
    "moves", "orders", "payouts", "prices", "reconciliations", "router", "rules", "screenings",
    "sweeps", "transactions", "venue_account", "x402", "x402_checked",
)  # fmt: skip
CLOCK_POLL_SECONDS = 5


def database_url(settings: Settings) -> str:
    """The configured database, else the embedded one, which is started if nobody did yet."""
    if settings.database_url is not None:
        return settings.database_url
    from core.embedded import EmbeddedPostgres

    return EmbeddedPostgres(settings.data_dir / "postgres").start()


@asynccontextmanager
async def open_context(settings: Settings, *, listen: bool = True) -> AsyncIterator[Context]:
    """A context with its database, and (for services) its listener and clock kept going.

    Raises Misconfigured when the schema is not this code's: only `bezant migrate` changes it.
    """
    database = Database(database_url(settings))
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=settings.catalog,
        secrets=settings.secrets(),
        public_url=settings.public_url,
        sandbox=settings.configuration.sandbox,
        monitoring_seconds=settings.configuration.monitoring_seconds,
        limits=settings.configuration.request_limits,
        risk=settings.risk,
        quotes=settings.configuration.quotes.policy,
        moves=settings.configuration.moves.policy,
        banks=settings.banks,
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        await check_schema(database)
        await load_clock(context)
        if listen:
            tasks.append(asyncio.create_task(context.listener.run(CHANNELS)))
            if context.sandbox:
                tasks.append(asyncio.create_task(_follow_clock(context)))
        yield context
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


@asynccontextmanager
async def open_signer(settings: Settings) -> AsyncIterator[Signer]:
    """The signer that is configured, whether it runs or not; else one that never answers, so that
    what is to leave waits and says why. Raises Misconfigured when its key is missing."""
    from wallets.signer.client import SignerClient

    if settings.signer_socket is None:
        log.warning("no_signer", detail="BEZANT_SIGNER_SOCKET is not set: nothing can leave")
        yield NoSigner()
        return
    client = SignerClient(settings.signer_socket, settings.service())
    try:
        yield client
    finally:
        await client.close()


async def check_schema(database: Database) -> None:
    """Raises Misconfigured unless the database has the newest revision."""
    from core.schema import newest

    try:
        async with database.statement() as connection:
            cursor = await connection.execute("select version_num from alembic_version")
            row = await cursor.fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None or row[0] != newest():
        raise Misconfigured(
            f"BEZANT_DATABASE_URL has schema {row[0] if row else 'none'!r}, {newest()!r} is"
            " allowed: run bezant migrate"
        )


async def load_clock(context: Context) -> None:
    """The sandbox's offset; elsewhere there is no row and time is wall time."""
    async with context.database.statement() as connection:
        cursor = await connection.execute("select offset_seconds from clock where id = 1")
        row = await cursor.fetchone()
    context.clock.set_offset(timedelta(seconds=row[0] if row else 0))


async def _follow_clock(context: Context) -> None:
    async with context.listener.subscribe("clock") as moved:
        while True:
            await moved.next(CLOCK_POLL_SECONDS)
            moved.drain()
            with suppress(*DATABASE_AWAY):
                await load_clock(context)


def build_api(settings: Settings, context: Context) -> FastAPI:
    """The API, the checkout, and in the sandbox its own paths."""
    from api.app import create_app
    from web.routes import router as checkout

    routers: list[APIRouter] = [checkout(context)]
    if context.sandbox:
        from sandbox.exchange_routes import router as exchanges
        from sandbox.exchanges.steering import CONTROL
        from sandbox.routes import router as sandbox
        from sandbox.state import APPROVER_KEY

        routers.append(sandbox(context, settings.data_dir / APPROVER_KEY))
        routers.append(exchanges(settings.data_dir / CONTROL))
    return create_app(context, routers)
