"""Every fault of the simulators under placing, asking and reading fills, at both venues, by the
real adapters: no order twice, no fill lost, the ledger equals the venue to the last unit, and what
was unknown is resolved or stands as a Break.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import ids
from core.clock import wall
from core.db import Database
from exchanges.numbers import ONE, parse, times
from exchanges.protocol import Exchange
from exchanges.quantise import quantise
from exchanges.types import Market, Side, Venue
from ledger.accounts import EQUITY, exchange
from ledger.journal import Entry, Kind, post, transfer
from ledger.verify import verify
from prices import markets
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from tests.integration.exchanges import binance_venue, coinbase_venue, test_binance, test_coinbase
from tests.integration.treasury.converting import Converting, converting, plan_of
from tests.settings import SEED, numbers
from tests.waiting import eventually
from treasury.order_machine import Windows
from treasury.orders import Orders
from treasury.plan import Plan, PlannedLeg
from treasury.units import ledger_code

OPERATIONS = (Operation.PLACE, Operation.ORDER, Operation.FILLS)
CASES = [(fault, operation) for fault in Fault for operation in OPERATIONS]
MIDS = {"ETH-EUR": "2000", "ETH-USDT": "2200", "USDT-EUR": "0.91"}
ASSETS = ("ETH", "EUR", "USDT")
SIDE_BY_SIDE = 12  # conversions of a venue that meet each other's faults
PATIENCE = 60
FAST = Windows(
    questions=3,
    receive=timedelta(milliseconds=100),
    engine=timedelta(milliseconds=100),
    polling=timedelta(milliseconds=300),
    tell=timedelta(seconds=4),
    soonest=timedelta(milliseconds=40),
    latest=timedelta(milliseconds=150),
    watch_soonest=timedelta(milliseconds=500),
)


@dataclass
class Matrix:
    """A venue, its adapter, and the books."""

    desk: Converting
    simulator: Simulator
    adapter: Exchange
    rules: dict[str, Market]

    @property
    def venue(self) -> Venue:
        return self.simulator.venue

    def worker(self) -> Orders:
        return Orders(self.desk.context, {self.venue: self.adapter}, windows=FAST)

    def leg(self, symbol: str, side: Side, base: int, *, slack: int, step: int = 0) -> PlannedLeg:
        """At most `slack` per mille beyond the mid."""
        rules = self.rules[symbol]
        mid = parse(MIDS[symbol])
        worst = mid + (1 if side is Side.BUY else -1) * mid * slack // 1000
        quantity, price = quantise(rules, side, base, worst)
        worth = times(quantity, price)
        sold, bought = (rules.quote, rules.base) if side is Side.BUY else (rules.base, rules.quote)
        on_top = self.venue is Venue.COINBASE
        given, got = (worth, quantity) if side is Side.BUY else (quantity, worth)
        fee_asset = rules.quote if on_top else bought
        fee = times(worth if fee_asset == rules.quote else quantity, rules.taker_fee)
        given, got = (given + fee, got) if fee_asset == sold else (given, got - fee)
        return PlannedLeg(
            path=0, step=step, venue=self.venue.value, symbol=symbol, side=side,
            quantity=quantity, limit_price=price, expected_price=price, expected_in=given,
            expected_out=got, fee=fee, fee_asset=fee_asset, from_asset=sold, to_asset=bought,
        )  # fmt: skip

    def plan(self, luck: random.Random) -> Plan:
        """Bought or sold, in one step or two; sometimes more than the book gives at that price."""
        base = luck.randrange(1, 300) * ONE // 100
        slack = luck.choice((1, 5, 20))
        kind = luck.choice(("sell", "buy", "two steps"))
        if kind == "two steps":
            first = self.leg("ETH-USDT", Side.SELL, base, slack=slack)
            second = self.leg(
                "USDT-EUR", Side.SELL, first.expected_out, slack=luck.choice((0, 20)), step=1
            )
            return plan_of(first, second)
        side = Side.SELL if kind == "sell" else Side.BUY
        return plan_of(self.leg("ETH-EUR", side, base, slack=slack))

    async def open(self) -> None:
        """The books begin with what the account holds."""
        held = self.simulator.balances()
        async with self.desk.context.database.begin() as session:
            for asset in ASSETS:
                await post(
                    session,
                    [
                        Entry(
                            id=ids.new(), key=f"opening:{self.venue}:{asset}", kind=Kind.OPENING,
                            reference="test", merchant_id=None, evidence={}, posted_at=wall(),
                            postings=transfer(
                                ledger_code(self.desk.context.catalog, asset),
                                held[asset].free,
                                debit=exchange(self.venue), credit=EQUITY,
                            ),
                        )
                    ],
                )  # fmt: skip
        async with self.desk.context.database.statement() as connection:
            await markets.store(connection, self.venue.value, self.rules, wall())

    async def convert(self, luck: random.Random, fault: Fault, operation: Operation) -> UUID:
        plan = self.plan(luck)
        self.simulator.faults.add(operation, fault, luck.choice((1, 1, 2, 4)))
        return await self.desk.start(plan, seconds=luck.choice((2, 20)))

    async def over(self, number: UUID) -> dict[str, Any]:
        """Until it ended, or a person was told that nobody can say."""
        shown: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal shown
            shown = await self.desk.show(number)
            if shown["status"] not in ("accepted", "working"):
                return True
            return bool(await self.broken(number))

        try:
            await eventually(there, PATIENCE)
        except AssertionError:
            raise AssertionError(shown) from None
        return shown

    async def settled(self) -> bool:
        """Nothing is left that asking could still prove: with the faults gone all is, except what
        Coinbase never shows and must not be sent again."""
        left = await self.desk.rows(
            "select from orders where venue = :v and (status in ('prepared', 'sent', 'open')"
            " or status = 'unknown' and (:asked or told_at is null))",
            v=self.venue.value,
            asked=self.venue is Venue.BINANCE,
        )
        return not left

    async def broken(self, number: UUID) -> list[Any]:
        return list(
            await self.desk.rows(
                "select b.id from breaks b where b.status = 'open'"
                " and b.facts ->> 'conversion' = :c",
                c=ids.show("cnv", number),
            )
        )

    async def holds(self) -> None:
        """What issue 4 asks of every history."""
        ours = await self.desk.rows(
            "select client_id, conversion_id, step, attempt, quantity, booked, status"
            " from orders where venue = :v",
            v=self.venue.value,
        )
        made = Counter(order.client_id for order in self.simulator.orders())
        assert set(made.values()) <= {1}, "an order twice"
        assert set(made) <= {row.client_id for row in ours}
        executed: Counter[str] = Counter()
        for fill in self.simulator.fills():
            executed[fill.client_id] += fill.quantity
        made_of: Counter[UUID] = Counter()
        for row in ours:
            if row.step == 0:
                made_of[row.conversion_id] += executed[row.client_id]
        for row in ours:
            first = row.step == 0 and row.attempt == 0
            assert not first or made_of[row.conversion_id] <= row.quantity, "more than was quoted"
            assert executed[row.client_id] <= row.quantity
            assert row.booked == executed[row.client_id], "a fill lost"
        for asset in ASSETS:
            held = self.simulator.balances()[asset]
            found = await self.desk.balance(exchange(self.venue), asset)
            assert found == held.free + held.locked, asset
        blocking = await self.desk.rows(
            "select o.status, b.status as told from orders o"
            " join conversions c on c.id = o.conversion_id"
            " left join breaks b on b.facts ->> 'client_order_id' = o.client_id"
            " where o.venue = :v and (o.blocked > 0 or o.held > 0 and c.status <> 'working')",
            v=self.venue.value,
        )
        assert {(row.status, row.told) for row in blocking} <= {("unknown", "open")}


@asynccontextmanager
async def at_binance(desk: Converting) -> AsyncIterator[Matrix]:
    simulator = binance_venue.simulator()
    async with binance_venue.served(simulator, weight=10**7) as served:
        for symbol, mid in MIDS.items():
            simulator.set_mid(symbol, parse(mid))
        async with test_binance.adapter(served.port) as adapter:
            yield await matrix(desk, simulator, adapter)


@asynccontextmanager
async def at_coinbase(desk: Converting, folder: Path) -> AsyncIterator[Matrix]:
    async with coinbase_venue.serve(folder) as served, test_coinbase.adapter(served) as adapter:
        yield await matrix(desk, served.simulator, adapter)


async def matrix(desk: Converting, simulator: Simulator, adapter: Exchange) -> Matrix:
    listed = await adapter.markets()
    rules = {symbol: listed[symbol] for symbol in MIDS}
    made = Matrix(desk, simulator, adapter, rules)
    await made.open()
    return made


@pytest.fixture
async def both(database: Database, tmp_path: Path) -> AsyncIterator[list[Matrix]]:
    desk = converting(database)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(at_binance(desk)),
            await stack.enter_async_context(at_coinbase(desk, tmp_path)),
        ]


async def play(matrix: Matrix, cases: list[tuple[Fault, Operation]], seed: str) -> Counter[str]:
    """All cases, several conversions at a time, by a worker that does what it does in a house."""
    luck = random.Random(seed)
    ends: Counter[str] = Counter()
    worker = matrix.worker()

    async def work() -> None:
        while True:
            due = await worker.claim(8)
            await asyncio.gather(*(worker.step(order) for order in due))
            await asyncio.sleep(0 if due else 0.02)

    working = asyncio.create_task(work())
    try:
        for at in range(0, len(cases), SIDE_BY_SIDE):
            some = [await matrix.convert(luck, *case) for case in cases[at : at + SIDE_BY_SIDE]]
            for shown in await asyncio.gather(*(matrix.over(number) for number in some)):
                ends[shown["status"]] += 1
            matrix.simulator.faults.clear()
            if working.done():
                working.result()
        await eventually(matrix.settled, PATIENCE)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    return ends


async def test_no_fault_makes_an_order_twice_or_loses_a_fill(both: list[Matrix]) -> None:
    cases = random.Random(SEED).sample(CASES, min(len(CASES), numbers(6, len(CASES))))
    played = await asyncio.gather(
        *(play(matrix, cases, f"{SEED} {matrix.venue}") for matrix in both)
    )
    for matrix, ends in zip(both, played, strict=True):
        await matrix.holds()
        assert ends["filled"], ends
        print(f"\nsoak: {ends.total()} conversions under faults at {matrix.venue}: {dict(ends)}")
    report = await verify(both[0].desk.context.database)
    assert not [p for p in report.problems if p.kind != "unchained"]
