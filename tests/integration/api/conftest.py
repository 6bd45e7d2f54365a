"""The API on a real server, over a fresh database, with a small world in it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from api.app import create_app
from core.clock import Clock
from core.context import Context, Limits
from core.db import Database
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Feed, Network, Token
from core.secrets import SecretBox
from merchants import keys, merchants
from payments import payout_fees

NETWORK = "eip155:31337"
USDC = "0x" + "c0" * 20


def feed(base: str, quote: str, address: str) -> Feed:
    return Feed(
        base=base,
        quote=quote,
        address=address,
        decimals=8,
        heartbeat_seconds=3600,
        grace_seconds=60,
        minimum=1,
        maximum=10**14,
        largest_jump_percent=50,
        description=f"{base} / {quote}",
    )


CATALOG = Catalog(
    networks={
        NETWORK: Network(
            id=NETWORK,
            chain_id=31337,
            name="Anvil",
            rpc_urls=("http://127.0.0.1:8545",),
            block_seconds=1,
            poll_ms=100,
            tokens=(
                Token(asset=crypto("ETH", 18), address=NATIVE, asset_id=f"{NETWORK}/slip44:60"),
                Token(asset=crypto("USDC", 6), address=USDC, asset_id=f"{NETWORK}/erc20:{USDC}"),
            ),
            feeds=(feed("ETH", "USD", "0x" + "fe" * 20),),
            factory="0x" + "fa" * 20,
            deposit_init_code_hash="0x" + "1c" * 32,
        )
    }
)

PRICES = """
insert into prices (base, quote, price, updated_at, valid_until, refused, sources, observed_at)
select base, quote, price, :now, :now + interval '1 day', null,
       jsonb_build_array(jsonb_build_object(
           'source', 'chainlink', 'feed', '0xfefefefefefefefefefefefefefefefefefefefe',
           'network', 'eip155:31337', 'round_id', '7', 'price', price::text,
           'updated_at', to_char(:now at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'observed_at', to_char(:now at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))),
       :now
from (values ('ETH', 'USD', 2500 * 10::numeric ^ 18), ('USDC', 'USD', 10::numeric ^ 18),
             ('EUR', 'USD', 1.1 * 10::numeric ^ 18)) as p(base, quote, price)
"""


@pytest.fixture
def limits() -> Limits:
    """Wide, so that only the tests about limits meet them."""
    return Limits(
        key_per_second=10_000, key_burst=100_000, public_per_second=10_000, public_burst=100_000
    )


@pytest.fixture
async def context(database: Database, limits: Limits) -> AsyncIterator[Context]:
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=CATALOG,
        secrets=SecretBox({1: os.urandom(32)}),
        public_url="http://127.0.0.1:8000",
        sandbox=True,
        limits=limits,
    )
    async with database.begin() as session:
        await session.execute(text(PRICES), {"now": context.clock.now()})
    async with database.statement() as connection:
        await payout_fees.store(connection, NETWORK, 10**9, 10**9)  # a gas price of 1 gwei
    listening = asyncio.create_task(context.listener.run(("keys", "invoice", "events", "prices")))
    await context.listener.ready.wait()
    yield context
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@dataclass
class Answer:
    """What the server said; `json` raises when the body is none."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json", self.body
        code: str = self.json["code"]
        return code


class Client:
    """One key's caller."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str | None) -> None:
        self._http = http
        self.url = url
        self.key = key

    async def __call__(self, method: str, path: str, **arguments: Any) -> Answer:
        headers = dict(arguments.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        async with self._http.request(
            method, self.url + path, headers=headers, allow_redirects=False, **arguments
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **arguments: Any) -> Answer:
        return await self("GET", path, **arguments)

    async def post(self, path: str, body: Any = None, **arguments: Any) -> Answer:
        if body is not None:
            arguments["json"] = body
        return await self("POST", path, **arguments)


@dataclass
class World:
    """A served API: an operator, two merchants `one` and `two`, and a stranger without a key."""

    context: Context
    app: FastAPI
    http: aiohttp.ClientSession
    url: str
    operator: Client
    one: Client
    two: Client
    stranger: Client
    ids: dict[str, UUID]

    def client(self, key: str | None) -> Client:
        return Client(self.http, self.url, key)

    async def key(self, who: str | None, *scopes: str) -> Client:
        """A client with a new key of `one`, `two` or (None) the house."""
        async with self.context.database.begin() as session:
            _, plaintext = await keys.create_key(
                session, self.ids[who] if who else None, scopes, None, self.context.clock.now()
            )
        return self.client(plaintext)


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """uvicorn on a free port in this loop, lifespan included."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@pytest.fixture
def extra_routers() -> list[APIRouter]:
    return []


@pytest.fixture
async def world(context: Context, extra_routers: list[APIRouter]) -> AsyncIterator[World]:
    now = context.clock.now()
    ids: dict[str, UUID] = {}
    async with context.database.begin() as session:
        for name in ("one", "two"):
            merchant, _ = await merchants.create(session, context, f"Shop {name}", now=now)
            ids[name] = merchant.id
    app = create_app(context, extra_routers)
    async with serve(app) as url, aiohttp.ClientSession() as http:
        none = Client(http, url, None)
        world = World(context, app, http, url, none, none, none, none, ids)
        world.operator = await world.key(None, "*")
        world.one = await world.key("one", "*")
        world.two = await world.key("two", "*")
        yield world
