"""SIGKILL of the worker at every write of a rule: each share that settled is converted once.

The worker is a process. Whatever it is about to write is locked, and it is killed while it waits.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from core import ids
from core.db import Database, plain_url
from exchanges.numbers import ONE
from tests.e2e import rule_worker
from tests.integration.api.conftest import PRICES
from tests.integration.treasury.converting import converting
from tests.integration.treasury.test_rules import Desk
from tests.settings import SEED, numbers
from tests.waiting import eventually

PATIENCE = 30
# What a rule writes when it fires, and when its conversion has ended.
FIRES = ("treasury_rules", "treasury_quotes", "conversions", "orders", "rule_firings", "events")
FOLLOWS = ("treasury_rules", "rule_firings")
POINTS = [("fires", table) for table in FIRES] + [("follows", table) for table in FOLLOWS]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([rule_worker.__name__])


class Rig:
    """`desk` asks and converts; the rule is looked after by the process alone."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.url = desk.context.database.url
        self.worker: Any = None

    def start(self) -> None:
        self.worker = PROCESSES.Process(target=rule_worker.run, args=(self.url,), daemon=True)
        self.worker.start()

    @asynccontextmanager
    async def killed_at(self, table: str) -> AsyncIterator[None]:
        """What happens inside makes the worker write there: it dies, and another one takes over."""
        async with await psycopg.AsyncConnection.connect(plain_url(self.url)) as connection:
            await connection.execute(f"lock table {table} in share mode".encode())
            waiting = "select from pg_locks where relation = %s::regclass and not granted"

            async def is_waited_for() -> bool:
                return await (await connection.execute(waiting, [table])).fetchone() is not None

            yield
            await eventually(is_waited_for, PATIENCE)
            self.worker.kill()
            await asyncio.to_thread(self.worker.join, PATIENCE)
            assert self.worker.exitcode == -9
        self.start()

    async def firing(self, rule: UUID, n: int, status: str) -> dict[str, Any]:
        """The newest one, once it is the n-th and so far."""
        found: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal found
            firings = (await self.desk.show(rule))["firings"]
            found = firings[0] if len(firings) == n else {}
            return bool(found) and found["status"] == status

        await eventually(there, PATIENCE)
        return found


@pytest.fixture
async def rig(database: Database) -> AsyncIterator[Rig]:
    desk = Desk(converting(database))
    await desk.converting.open()
    async with database.begin() as session:
        await session.execute(text(PRICES), {"now": desk.context.clock.now()})

    async def hear() -> None:
        while True:
            await desk.quote()
            await asyncio.sleep(0.3)

    made = Rig(desk)
    hearing = asyncio.create_task(hear())
    made.start()
    try:
        yield made
    finally:
        made.worker.kill()
        made.worker.join()
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing


async def test_kills_convert_nothing_twice(rig: Rig) -> None:
    desk, rule = rig.desk, await rig.desk.rule()
    points = min(len(POINTS), numbers(1, len(POINTS)))
    chosen = random.Random(f"{SEED} rules").sample(POINTS, points)
    for n, (when, table) in enumerate(chosen, 1):
        async with rig.killed_at(table) if when == "fires" else nullcontext():
            await desk.settle(ONE)
        firing = await rig.firing(rule, n, "working")
        assert firing["amount"] == "1", (when, table)
        conversion = ids.read("cnv", firing["conversion"])
        assert conversion is not None
        async with rig.killed_at(table) if when == "follows" else nullcontext():
            await desk.converting.until(conversion, "filled")
        done = await rig.firing(rule, n, "done")
        assert (done["from_amount"], done["to_amount"]) == ("1", "2267.45028"), (when, table)
    shown = await desk.show(rule)
    assert (shown["left_over"], len(shown["firings"])) == ("0", points)
    assert len(await desk.converting.rows("select from conversions")) == points
    assert len(desk.converting.exchange.placed) == points
    told = [one for one in await desk.converting.told() if one.startswith("rule.")]
    assert told == ["rule.fired", "rule.done"] * points
    print(f"\nsoak: {points} kills of a rule")
