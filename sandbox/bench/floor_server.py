"""The floor of the HTTP measures: uvicorn as `bezant api` runs it, FastAPI, pydantic, one row.

`python -m sandbox.bench.floor_server <fd> <database url>`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

from core import ids

POOL = 10


class Order(BaseModel):
    """As little as an order can be."""

    amount: str = Field(pattern=r"^[0-9]{1,60}(\.[0-9]{1,30})?$")
    currency: str = Field(max_length=10)
    reference: str | None = None


def build(url: str) -> FastAPI:
    idle: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for _ in range(POOL):
            idle.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True))
        yield

    async def execute(query: LiteralString, values: Sequence[Any]) -> psycopg.AsyncCursor[Any]:
        connection = await idle.get()
        try:
            return await connection.execute(query, values)
        finally:
            idle.put_nowait(connection)

    app = FastAPI(lifespan=lifespan)

    @app.post("/rows", status_code=201)
    async def insert(order: Order) -> Order:
        await execute(
            "insert into orders (id, amount, currency, reference) values (%s, %s, %s, %s)",
            (ids.new(), order.amount, order.currency, order.reference),
        )
        return order

    @app.get("/rows/{number}")
    async def select(number: UUID) -> Order:
        query: LiteralString = "select amount, currency, reference from orders where id = %s"
        row = await (await execute(query, (number,))).fetchone()
        assert row is not None  # noqa: S101  (the bench asks for what it made)
        return Order(amount=row[0], currency=row[1], reference=row[2])

    @app.get("/nothing")
    async def nothing() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    config = uvicorn.Config(
        build(sys.argv[2]),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
