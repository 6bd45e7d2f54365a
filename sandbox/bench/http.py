"""Invoices over HTTP against a server that writes, or reads, one row."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from core.errors import BezantError
from sandbox.bench.house import House, until_answers
from sandbox.bench.result import Aim, Row, paired, quantile

# What a small shop asks for: three assets, on each of the sandbox's two networks.
INVOICE = {"amount": "25.00", "currency": "USD", "assets": ["ETH", "USDC", "USDT"]}
ORDER = {"amount": "25.00", "currency": "USD"}
BITCART_CREATES = {1: ("41/s", "34 ms"), 8: ("51/s", "411 ms"), 32: ("45/s", "2,597 ms")}
BITCART_READS = ("104/s", "289 ms")
WARM_UP_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """One round: requests per second, and the 99th percentile in milliseconds."""

    rate: float
    p99: float


async def drive(
    address: tuple[str, int], clients: int, seconds: float, plan: dict[str, Any]
) -> Load:
    """Lets the load client run. Raises BezantError if anything but success was answered."""
    host, port = address
    whole = plan | {
        "host": host,
        "port": port,
        "clients": clients,
        "seconds": seconds,
        "warm_up": WARM_UP_SECONDS,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(whole).encode())
    if process.returncode != 0:
        raise BezantError(f"the load client ended with {process.returncode}")
    found = json.loads(output)
    if found["bad"]:
        raise BezantError(f"not every request was served: {found['bad'][0]}")
    latencies = found["latencies"]
    return Load(len(latencies) / found["seconds"], quantile(latencies, 0.99) * 1000)


@asynccontextmanager
async def floor_server(house: House) -> AsyncIterator[tuple[tuple[str, int], UUID]]:
    """The floor, and the number of a row in it."""
    async with house.database("bench_floor") as url:
        row = UUID(int=1)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "create table orders (id uuid primary key, amount text not null,"
                " currency text not null, reference text)"
            )
            await connection.execute("insert into orders values (%s, '25.00', 'USD')", (row,))
        async with house.python("floor_server", url) as address:
            await until_answers(f"http://{address[0]}:{address[1]}/nothing")
            yield address, row


async def create(house: House) -> list[Row]:
    """Invoices created with an Idempotency-Key each."""
    rows: list[Row] = []
    async with floor_server(house) as (floor, _):
        for clients in (1, 8, 32):
            pairs = []
            for _ in range(house.number(7, 2)):
                below = {"method": "POST", "paths": ["/rows"], "body": json.dumps(ORDER)}
                above = {
                    "method": "POST",
                    "paths": ["/v1/invoices"],
                    "body": json.dumps(INVOICE),
                    "tokens": list(house.api_keys),
                    "once": secrets.token_hex(8),
                }
                pairs.append(await _round(house, clients, floor, below, above))
            rows += _rows(f"invoices created, {clients} clients", pairs, BITCART_CREATES[clients],
                          share=0.4 if clients == 8 else None)  # fmt: skip
    rows.append(await ceiling(house))
    return rows


async def read(house: House) -> list[Row]:
    """GET /v1/invoices/{id}, eight clients, a hundred invoices in turn."""
    async with house.http() as session:
        paths = []
        for _ in range(100):
            async with session.post("/v1/invoices", json=INVOICE) as response:
                paths.append(f"/v1/invoices/{(await response.json())['id']}")
    async with floor_server(house) as (floor, row):
        below = {"method": "GET", "paths": [f"/rows/{row}"]}
        above = {"method": "GET", "paths": paths, "tokens": list(house.api_keys)}
        pairs = [await _round(house, 8, floor, below, above) for _ in range(house.number(7, 2))]
    return _rows("invoices read, 8 clients", pairs, BITCART_READS, share=0.5)


async def ceiling(house: House) -> Row:
    """How fast the load client could go at most."""
    async with house.python("hello_server") as address:
        await until_answers(f"http://{address[0]}:{address[1]}/")
        plan = {"method": "GET", "paths": ["/"]}
        load = await drive(address, 8, house.number(20, 5) / 10, plan)
    return Row(what="load client's own ceiling, 8 clients", unit="1/s", ours=load.rate)


async def _round(
    house: House, clients: int, floor: tuple[str, int], below: dict[str, Any], above: dict[str, Any]
) -> tuple[Load, Load]:
    seconds = house.number(20, 5) / 10
    first = await drive(floor, clients, seconds, below)
    return first, await drive(house.api, clients, seconds, above)


def _rows(
    what: str, pairs: list[tuple[Load, Load]], peer: tuple[str, str], *, share: float | None
) -> list[Row]:
    floors, ours = [p[0] for p in pairs], [p[1] for p in pairs]
    return [
        paired(what, "1/s", [o.rate for o in ours], [f.rate for f in floors],
               aim=Aim(share, at_least=True) if share else None, peer=peer[0]),
        paired(f"{what}: p99", "ms", [o.p99 for o in ours], [f.p99 for f in floors],
               aim=Aim(5, at_least=False) if share == 0.4 else None, peer=peer[1]),
    ]  # fmt: skip
