"""Journal entries per second, against the same SQL on a bare psycopg connection."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from core import ids, schema
from core.clock import wall
from core.db import Database
from ledger.journal import POST, Entry, Kind, post, transfer
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row, paired

BATCH = 100
NUMBERS = count()

Write = Callable[[list[Entry]], Awaitable[None]]


def entry() -> Entry:
    """A deposit that was seen: one of a hundred merchants is owed a little."""
    number = next(NUMBERS)
    return Entry(
        id=ids.new(),
        key=f"bench:{number}",
        kind=Kind.DEPOSIT_SEEN,
        reference=f"dep_{number}",
        merchant_id=None,
        evidence={"network": "eip155:1", "tx_hash": f"0x{number:064x}", "position": "tx"},
        posted_at=wall(),
        postings=transfer(
            "ETH", 10**16, debit="network:eip155:1:deposits", credit=f"merchant:{number % 100}"
        ),
    )


def values(entries: Sequence[Entry]) -> dict[str, Any]:
    """The statement's parameters, made before the clock runs."""
    lines = [(e.id, n, p) for e in entries for n, p in enumerate(e.postings)]
    return {
        "id": [e.id for e in entries],
        "key": [e.key for e in entries],
        "kind": [e.kind.value for e in entries],
        "reference": [e.reference for e in entries],
        "merchant_id": [e.merchant_id for e in entries],
        "evidence": [Jsonb(e.evidence) for e in entries],
        "posted_at": [e.posted_at for e in entries],
        "entry_id": [line[0] for line in lines],
        "n": [line[1] for line in lines],
        "account": [line[2].account for line in lines],
        "asset": [line[2].asset for line in lines],
        "amount": [line[2].amount for line in lines],
        "guarded": [],
    }


async def measure(house: House) -> list[Row]:
    """One entry a transaction, then a hundred."""
    async with house.database("bench_journal") as url:
        schema.migrate(url)
        database = Database(url)

        async def ours(entries: list[Entry]) -> None:
            async with database.begin() as session:
                await post(session, entries)

        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as bare:
                single = await _rounds(house, bare, ours, 1, house.number(1000, 100))
                batch = await _rounds(house, bare, ours, BATCH, house.number(60, 10))
        finally:
            await database.close()
    return [
        paired("journal entries, single", "1/s", *single, aim=Aim(0.4, at_least=True), peer="none"),
        paired(f"journal entries, {BATCH} a transaction", "1/s", *batch,
               aim=Aim(0.5, at_least=True), peer="none"),
    ]  # fmt: skip


async def _rounds(
    house: House, bare: psycopg.AsyncConnection[Any], write: Write, size: int, transactions: int
) -> tuple[list[float], list[float]]:
    ours, floors = [], []
    for _ in range(house.number(9, 3)):
        ready = [values([entry() for _ in range(size)]) for _ in range(transactions)]
        started = time.perf_counter()
        for parameters in ready:
            await (await bare.execute(POST, parameters)).fetchone()
        floors.append(size * transactions / (time.perf_counter() - started))
        batches = [[entry() for _ in range(size)] for _ in range(transactions)]
        started = time.perf_counter()
        for entries in batches:
            await write(entries)
        ours.append(size * transactions / (time.perf_counter() - started))
    return ours, floors
