"""A shop that receives, a deliverer that sends, and the served API over the same database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import APIRouter

from api import app, events, webhook_endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.secrets import SecretBox
from merchants import merchants
from tests.integration.api.conftest import CATALOG, limits, world
from webhooks import endpoints
from webhooks.deliver import Deliverer
from webhooks.events import NewEvent, emit

__all__ = ["limits", "world"]

DEADLINE = 15  # seconds after which a test gives up waiting
CHANNELS = ("deliveries", "event_pending", "events", "entry_pending", "keys")


@pytest.fixture
async def context(database: Database) -> AsyncIterator[Context]:
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=CATALOG,
        secrets=SecretBox({1: os.urandom(32)}),
        public_url="http://127.0.0.1:8000",
        sandbox=True,
    )
    listening = asyncio.create_task(context.listener.run(CHANNELS))
    await context.listener.ready.wait()
    yield context
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@pytest.fixture
def extra_routers() -> list[APIRouter]:
    return [r for r in (events.router, webhook_endpoints.router) if r not in app.ROUTERS]


@pytest.fixture
async def shop(context: Context) -> UUID:
    """A merchant."""
    async with context.database.begin() as session:
        merchant, _ = await merchants.create(session, context, "Shop", now=context.clock.now())
    return merchant.id


class Received:
    """A request as it came."""

    def __init__(self, request: web.Request, body: str) -> None:
        self.id = request.headers["webhook-id"]
        self.headers = dict(request.headers)
        self.body = body


Answering = Callable[[Received], Awaitable[web.StreamResponse]]


class Receiver:
    """A merchant's server on 127.0.0.1. `answer` decides what it says."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Answering = ok
        self.in_flight = 0
        self._changed = asyncio.Condition()
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._handle)
        self.server = TestServer(application)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/hook"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request, await request.text())
        self.in_flight += 1
        try:
            async with self._changed:
                self.received.append(received)
                self._changed.notify_all()
            return await self.answer(received)
        finally:
            self.in_flight -= 1

    async def gets(self, count: int) -> list[Received]:
        """Waits until so many requests have come."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)
        return self.received


async def ok(_: Received) -> web.StreamResponse:
    return web.Response(text="thanks")


def says(status: int, **headers: str) -> Answering:
    async def answer(_: Received) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text="no", headers=named)

    return answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.server.start_server()
    try:
        yield receiver
    finally:
        await receiver.server.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def delivering(context: Context, **arguments: Any) -> AsyncIterator[Deliverer]:
    """A deliverer at work; leaving it is an orderly stop."""
    deliverer = Deliverer(context, **{"timeout": 5, **arguments})
    task = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def listen_at(
    context: Context, merchant_id: UUID, url: str, patterns: tuple[str, ...] = ("*",)
) -> tuple[UUID, str]:
    """A new endpoint and its secret."""
    async with context.database.begin() as session:
        endpoint, secret = await endpoints.create(
            session, context, merchant_id, url=url, events=patterns, now=context.clock.now()
        )
    return endpoint.id, secret


async def tell(
    context: Context, merchant_id: UUID, *subjects: str, kind: str = "refund.paid"
) -> None:
    """One transaction with an event for each subject."""
    async with context.database.begin() as session:
        told = [NewEvent(merchant_id, kind, subject, {"id": subject}) for subject in subjects]
        await emit(session, told, context.clock.now())


def move(context: Context, seconds: int) -> None:
    """Moves the test clock on."""
    context.clock.set_offset(context.clock.offset + timedelta(seconds=seconds))


async def rows(context: Context, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with context.database.statement() as connection:
        cursor = await connection.execute(query, values)
        found: list[tuple[Any, ...]] = await cursor.fetchall()
    return found


async def until(context: Context, query: str, expected: Any) -> None:
    """Waits until the query's only value is `expected`: what a deliverer writes has no event."""
    seen: Any = None
    with limited(query):
        async with asyncio.timeout(DEADLINE):
            while True:
                seen = (await rows(context, query))[0][0]
                if seen == expected:
                    return
                await asyncio.sleep(0.01)


@contextmanager
def limited(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        pytest.fail(f"never came true: {what}")
