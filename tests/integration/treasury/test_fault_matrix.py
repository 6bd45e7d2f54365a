"""Every fault of the simulators, at both venues, by the real adapters, under conversions and
withdrawals that meet each other's faults, with the account's stream beside: no order and no
withdrawal twice, no fill lost, the ledger equals the venue to the last unit, and what was unknown
is resolved or stands as a Break.

A seed plays all faults, and each is met. A process plays many seeds in a few houses that stand side
by side, for most of a seed is waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

from core import ids
from core.clock import wall
from core.db import Database
from core.errors import Conflict, VenueError
from exchanges.numbers import ONE, parse, times
from exchanges.protocol import Exchange
from exchanges.quantise import quantise
from exchanges.types import AccountUpdate, Market, Side, Venue
from ledger.accounts import EQUITY, Role, exchange, place, transit
from ledger.breaks import close_break
from ledger.journal import Entry, Kind, post, transfer
from ledger.verify import verify
from prices import markets
from prices.refreshing import CHANNEL as ACCOUNT
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.types import SimWithdrawal, TransferStatus
from tests.conftest import database_like
from tests.integration.api.conftest import NETWORK
from tests.integration.exchanges import binance_venue, coinbase_venue, test_binance, test_coinbase
from tests.integration.treasury.converting import Converting, converting, plan_of
from tests.settings import SEED, numbers
from tests.waiting import eventually
from treasury import move_machine, moves
from treasury.conversion_cases import CHANNEL as ORDERS
from treasury.conversion_orders import Limits
from treasury.move_work import Moves
from treasury.moves import NewMove
from treasury.order_machine import Windows
from treasury.orders import Orders
from treasury.plan import Plan, PlannedLeg
from treasury.units import ledger_code
from wallets import expected, hot
from wallets.hot import WalletKind

NO_ANSWER = frozenset(Fault) - {
    Fault.DUPLICATED_EVENTS,
    Fault.DUPLICATE_ORDER,
    Fault.EXPIRED,
    Fault.PARTIAL_FILL_THEN_SILENCE,
    Fault.SUCCESS_WITH_FAILURE_REASON,
}
"""What may become of any request; the others are an order's, or a stream's."""
PLAYED = {
    Operation.PLACE: frozenset(Fault) - {Fault.DUPLICATED_EVENTS},
    Operation.ORDER: NO_ANSWER,
    Operation.FILLS: NO_ANSWER,
    Operation.WITHDRAW: NO_ANSWER,
    Operation.STREAM: NO_ANSWER - {Fault.NOT_FOUND_LAG} | {Fault.DUPLICATED_EVENTS},
}
CASES = [(operation, fault) for operation, known in PLAYED.items() for fault in sorted(known)]
UNSENT = NO_ANSWER & {
    Fault.BAD_SIGNATURE, Fault.BANNED, Fault.CLOCK_SKEW, Fault.FORBIDDEN, Fault.RATE_LIMITED,
    Fault.UNAUTHORIZED_FLAP,
}  # fmt: skip
"""Whoever meets one of these comes again."""
CLOSES = (Fault.RATE_LIMITED, Fault.BANNED, Fault.FORBIDDEN)  # the venue is left alone for seconds
MIDS = {"ETH-EUR": "2000", "ETH-USDT": "2200", "USDT-EUR": "0.91"}
ASSETS = ("ETH", "EUR", "USDT")
SEEDS = 20  # of a process
HOUSES = 3  # side by side
SIDE_BY_SIDE = 12  # conversions and moves of a venue that meet each other's faults
PLENTY = 1_000_000  # of each asset
PATIENCE = 120
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
# Fewer questions, for each costs a step; but more than `not_found_lag` hides an order from.
LAG = 4
SPARING = replace(
    FAST,
    questions=LAG + 2,
    tell=timedelta(seconds=3),
    soonest=timedelta(milliseconds=150),
    latest=timedelta(seconds=2),
    watch=timedelta(0),
)
MOVING = move_machine.Windows(
    polling=timedelta(milliseconds=300),
    tell=timedelta(seconds=3),
    soonest=timedelta(milliseconds=300),
    latest=timedelta(seconds=3),
    again=timedelta(milliseconds=300),
)
LIMITS = Limits(pause=timedelta(milliseconds=100))


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

    async def agrees(self) -> None:
        """The ledger with the venue, to the last unit."""
        for asset in ASSETS:
            held = self.simulator.balances()[asset]
            found = await self.desk.balance(exchange(self.venue), asset)
            assert found == held.free + held.locked, (asset, await self.said())

    async def said(self) -> list[str]:
        """Both sides of each withdrawal, for who has to find out what differs."""
        ours = await self.desk.rows("select * from moves where venue = :v", v=self.venue.value)
        return [*map(str, ours), *map(str, self.simulator.withdrawals())]

    def executed(self) -> Counter[str]:
        """By the ids of our orders."""
        found: Counter[str] = Counter()
        for fill in self.simulator.fills():
            found[fill.client_id] += fill.quantity
        return found

    async def holds(self) -> None:
        """What issue 4 asks of every history of conversions."""
        ours = await self.desk.rows(
            "select client_id, conversion_id, step, attempt, quantity, booked, status"
            " from orders where venue = :v",
            v=self.venue.value,
        )
        made = Counter(order.client_id for order in self.simulator.orders())
        assert set(made.values()) <= {1}, "an order twice"
        assert set(made) <= {row.client_id for row in ours}
        executed = self.executed()
        made_of: Counter[UUID] = Counter()
        for row in ours:
            if row.step == 0:
                made_of[row.conversion_id] += executed[row.client_id]
        for row in ours:
            first = row.step == 0 and row.attempt == 0
            assert not first or made_of[row.conversion_id] <= row.quantity, "more than was quoted"
            assert executed[row.client_id] <= row.quantity
            assert row.booked == executed[row.client_id], "a fill lost"
        await self.agrees()
        blocking = await self.desk.rows(
            "select o.status, b.status as told from orders o"
            " join conversions c on c.id = o.conversion_id"
            " left join breaks b on b.facts ->> 'client_order_id' = o.client_id"
            " where o.venue = :v and (o.blocked > 0 or o.held > 0 and c.status <> 'working')",
            v=self.venue.value,
        )
        assert {(row.status, row.told) for row in blocking} <= {("unknown", "open")}


async def matrix(desk: Converting, simulator: Simulator, adapter: Exchange) -> Matrix:
    listed = await adapter.markets()
    rules = {symbol: listed[symbol] for symbol in MIDS}
    made = Matrix(desk, simulator, adapter, rules)
    await made.open()
    return made


@dataclass
class Play:
    """All that happens at one venue. `begun`: conversions and moves by their names."""

    matrix: Matrix
    luck: random.Random = field(default_factory=random.Random)
    begun: dict[str, UUID] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    @property
    def venue(self) -> Venue:
        return self.matrix.venue

    @property
    def simulator(self) -> Simulator:
        return self.matrix.simulator

    async def run(self, seed: str) -> None:
        """All cases, or some in `make test`. Every fault is met: what those who came for it did not
        meet, others do."""
        self.luck.seed(f"{seed} {self.venue}")
        cases = self.luck.sample(CASES, min(len(CASES), numbers(8, len(CASES))))
        for operation, fault in sorted(cases, key=self._order):
            is_question = operation in (Operation.ORDER, Operation.FILLS) and fault not in CLOSES
            lasts = is_question or fault is Fault.NOT_FOUND_LAG
            several = self.luck.choice((1, 1, 2, LAG)) if lasts else 1
            self.simulator.faults.add(operation, fault, several)
            if operation is Operation.WITHDRAW and fault not in UNSENT:
                await self.move()
            elif operation is Operation.PLACE and fault not in UNSENT:
                await self.convert()
        await eventually(self.met, PATIENCE, pause=0.5)
        try:
            await eventually(self.settled, PATIENCE, pause=0.5)
        except AssertionError:
            await self.matrix.holds()
            await self.moved()
            raise

    async def met(self) -> bool:
        """Every fault; for what waits still, one more conversion or move, where none is under way
        that may meet it."""
        waiting = {operation for operation, _, _ in self.simulator.faults.waiting}
        busy = {name[:3] for name in await self.under_way()} if waiting else set()
        if Operation.WITHDRAW in waiting and "mov" not in busy:
            await self.move()
        if waiting - {Operation.WITHDRAW} and "cnv" not in busy:
            await self.convert()
        return not waiting

    def _order(self, case: tuple[Operation, Fault]) -> float:
        """Those of questions and streams a little earlier: they wait for others to meet them."""
        return self.luck.random() * (1 if case[0] in (Operation.PLACE, Operation.WITHDRAW) else 0.6)

    async def convert(self) -> None:
        await self.room()
        plan = self.matrix.plan(self.luck)
        seconds = self.luck.choice((6, 30, 30))
        try:
            number = await self.matrix.desk.start(plan, seconds=seconds)
        except Conflict:  # its quote ended before it was accepted: a busy machine
            number = await self.matrix.desk.start(plan, seconds=10 * seconds)
        self.begun[ids.show("cnv", number)] = number

    async def move(self) -> None:
        """To the hot wallet."""
        await self.room()
        context = self.matrix.desk.context
        asked = NewMove(
            asset="ETH", amount=f"0.{self.luck.randrange(10, 60)}", network=NETWORK,
            source=self.venue.value, destination="hot", initiator="key_test",
        )  # fmt: skip
        async with context.database.begin() as session:
            made = await moves.create(session, context, asked)
        number = ids.read("mov", made["id"])
        assert number is not None
        self.begun[made["id"]] = number

    async def room(self) -> None:
        """Until another one may begin."""

        async def there() -> bool:
            if len(self.begun) - len(self.over) < SIDE_BY_SIDE:
                return True
            return len(await self.under_way()) < SIDE_BY_SIDE

        await eventually(there, PATIENCE, pause=0.3)

    async def under_way(self) -> set[str]:
        """Those that did not end, and of which no person was told that nobody can say."""
        open_ = {name: number for name, number in self.begun.items() if name not in self.over}
        async with self.matrix.desk.context.database.statement() as connection:
            found = await connection.execute(
                "select id from conversions where id = any(%(ids)s)"
                " and status in ('accepted', 'working') union all"
                " select id from moves where id = any(%(ids)s) and finished_at is null",
                {"ids": list(open_.values())},
            )
            left = {row[0] for row in await found.fetchall()}
        self.over |= {name for name, number in open_.items() if number not in left}
        return {name for name, number in open_.items() if number in left} - await self.told()

    async def told(self) -> set[str]:
        """The conversions and moves of which a person was told that nobody can say."""
        rows = await self.matrix.desk.rows(
            "select coalesce(facts ->> 'conversion', facts ->> 'move') as name from breaks"
            " where status = 'open'"
        )
        return {row.name for row in rows}

    async def settled(self) -> bool:
        """Nothing is left that asking could still prove: with the faults gone all is, except what
        the venue does not have, never shows and must not be sent again."""
        rows, moved = self.matrix.desk.rows, self.withdrawn()
        executed = self.matrix.executed()
        for row in await rows(
            "select client_id, status, told_at, booked from orders where venue = :v",
            v=self.venue.value,
        ):
            unproved = row.status == "unknown" and row.told_at and self.venue is Venue.COINBASE
            if row.booked != executed[row.client_id]:
                return False
            if row.status in ("prepared", "sent", "open", "unknown") and not unproved:
                return False
        for row in await rows(
            "select id, told_at, sends from moves where venue = :v and finished_at is null",
            v=self.venue.value,
        ):
            sends = 2 if self.matrix.adapter.resend_returns_original else 1
            if not row.told_at or row.id in moved or row.sends < sends:
                return False  # told early on a busy machine, it may still be sent again
        return not await self.under_way() and not self.simulator.faults.hiding

    def withdrawn(self) -> dict[UUID, SimWithdrawal]:
        """By our moves; Coinbase is given their UUIDs."""
        found: dict[UUID, SimWithdrawal] = {}
        for withdrawal in self.simulator.withdrawals():
            name = str(withdrawal.client_id)
            number = ids.read("mov", name) or UUID(name)
            assert number not in found, "a withdrawal twice"
            found[number] = withdrawal
        return found

    async def moved(self) -> Counter[str]:
        """What issue 4 asks of every history of withdrawals; how they ended."""
        ours = await self.matrix.desk.rows(
            "select id, status, blocked from moves where venue = :v", v=self.venue.value
        )
        told = await self.told()
        gone = self.withdrawn()
        assert set(gone) <= {row.id for row in ours}
        ends = {None: "failed", TransferStatus.FAILED: "failed", TransferStatus.DONE: "done"}
        for row in ours:
            there = gone.get(row.id)
            unproved = row.status == "sending" and there is None
            assert unproved or row.status == ends[there.status if there else None], row
            is_told = ids.show("mov", row.id) in told
            assert (is_told, row.blocked > 0) == (unproved, unproved), row
            assert await self.matrix.desk.balance(transit(row.id), "ETH") == 0, row
        return Counter(f"moves {row.status}" for row in ours)


@dataclass
class House:
    """Both venues, and all that works at their conversions and moves."""

    desk: Converting
    plays: list[Play]
    luck: random.Random
    arrived: set[UUID] = field(default_factory=set)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The worker's loops, the venues' streams and a chain, until the end of the block."""
        context = self.desk.context
        adapters = {play.venue: play.matrix.adapter for play in self.plays}
        orders = Orders(
            context, adapters, windows=SPARING, limits=LIMITS, parallel=16, poll_seconds=0.1
        )
        moving = Moves(context, adapters, windows=MOVING, parallel=16, poll_seconds=0.1)
        loops = [
            context.listener.run((ORDERS, ACCOUNT, expected.CHANNEL)),
            orders.run(),
            moving.run(),
            self.chain(),
            *(listen(adapter, orders) for adapter in adapters.values()),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def play(self, seed: str) -> None:
        """One seed at both venues. A person decides at its end about what nobody can say."""
        self.luck.seed(seed)
        async with asyncio.TaskGroup() as group:
            for play in self.plays:
                group.create_task(play.run(seed))
        for play in self.plays:
            await eventually(play.settled, PATIENCE, pause=0.5)
            await play.matrix.holds()
            await play.moved()
        async with self.desk.context.database.begin() as session:
            for row in await self.desk.rows("select key from breaks where status = 'open'"):
                await close_break(session, row.key, "explained", wall(), by="key_person")
        await eventually(self.over, PATIENCE, pause=0.3)
        for play in self.plays:
            await play.matrix.agrees()

    async def over(self) -> bool:
        """Nothing blocks anything any more."""
        return not await self.desk.rows(
            "select from orders where status in ('prepared', 'sent', 'unknown', 'open')"
            " or blocked > 0 union all select from moves where finished_at is null or blocked > 0"
            " union all select from conversions where status in ('accepted', 'working')"
        )

    async def chain(self) -> None:
        """What venues send is mined, or fails; what is mined is in the books of the hot wallet."""
        while True:
            for play in self.plays:
                for sent in play.simulator.leaving:
                    end(play.simulator, sent, works=self.luck.random() < 0.8)
            for row in await self.desk.rows(
                "select id from moves where status = 'in_transit' and tx_hash is not null"
            ):
                if row.id not in self.arrived:
                    self.arrived.add(row.id)
                    await self.arrive(row.id)
            await asyncio.sleep(0.2)

    async def arrive(self, number: UUID) -> None:
        amount = await self.desk.balance(transit(number), "ETH")
        name = ids.show("mov", number)
        there = transfer("ETH", amount, debit=place(NETWORK, Role.HOT), credit=transit(number))
        entry = Entry(
            id=ids.new(), key=f"arrived:{name}", kind=Kind.MOVE_ARRIVED, reference=name,
            merchant_id=None, evidence={}, posted_at=wall(), postings=there,
        )  # fmt: skip
        async with self.desk.context.database.begin() as session:
            await post(session, [entry])
            await expected.mark(session, name, arrived=True)


def end(simulator: Simulator, sent: SimWithdrawal, *, works: bool) -> None:
    """Its transaction, as the venue shows it."""
    if works:
        mined = replace(sent, tx_hash="0x" + ids.new().hex * 2, status=TransferStatus.DONE)
        simulator.transfers.update(mined)
    else:
        simulator.transfers.update(replace(sent, status=TransferStatus.FAILED), give_back=True)
    simulator.tell_balances()


async def listen(adapter: Exchange, orders: Orders) -> None:
    """What the account's stream says is told to the worker; a stream that ended begins anew."""
    while True:
        try:
            news = cast("AsyncGenerator[AccountUpdate, None]", adapter.account())
            async with aclosing(news):
                async for update in news:
                    await orders.heard(f"{adapter.venue} {update.client_id or ''}")
        except VenueError:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def house(database: Database, folder: Path) -> AsyncIterator[House]:
    desk = converting(database)
    async with AsyncExitStack() as stack:
        binance = binance_venue.simulator()
        at_binance = await stack.enter_async_context(binance_venue.served(binance, weight=10**7))
        for symbol, mid in MIDS.items():
            binance.set_mid(symbol, parse(mid))
        at_coinbase = await stack.enter_async_context(coinbase_venue.serve(folder))
        both: list[tuple[Simulator, Exchange]] = [
            (binance, test_binance.adapter(at_binance.port)),
            (at_coinbase.simulator, test_coinbase.adapter(at_coinbase)),
        ]
        plays = []
        for simulator, adapter in both:
            for asset in ASSETS:
                simulator.adjust(asset, PLENTY * ONE)
            entered = await stack.enter_async_context(adapter)
            plays.append(Play(await matrix(desk, simulator, entered)))
        async with database.begin() as session:
            await hot.add(
                session, address="0x" + "44" * 20, label="hot", kind=WalletKind.HOT,
                networks=[NETWORK], now=wall(),
            )  # fmt: skip
        made = House(desk, plays, random.Random())
        async with made.working():
            yield made


async def live(database: Database, folder: Path, seeds: Iterable[str]) -> Counter[str]:
    """These seeds, one after the other. How much it was."""
    done: Counter[str] = Counter()
    async with house(database, folder) as made:
        for seed in seeds:
            await made.play(seed)
            done["seeds"] += 1
        for what in ("conversions", "moves"):
            for row in await made.desk.rows(f"select status from {what}"):  # noqa: S608
                done[f"{what} {row.status}"] += 1
    assert done["conversions filled"]
    report = await verify(database)
    assert not [p for p in report.problems if p.kind != "unchained"]
    return done


async def test_no_fault_makes_an_order_twice_or_loses_a_fill(
    server_url: str, template: str, tmp_path: Path
) -> None:
    seeds = [f"{SEED}.{number}" for number in range(numbers(1, SEEDS))]
    done: Counter[str] = Counter()

    async def some(mine: list[str]) -> None:
        with database_like(server_url, template) as url:
            database = Database(url, size=5, overflow=5)
            try:
                done.update(await live(database, tmp_path, mine))
            finally:
                await database.close()

    async with asyncio.TaskGroup() as group:
        for number in range(min(HOUSES, len(seeds))):
            group.create_task(some(seeds[number::HOUSES]))
    print(f"\nsoak: {', '.join(f'{count} {name}' for name, count in done.items())}")
