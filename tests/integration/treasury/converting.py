"""Books with funds at venues, quotes to take, and a worker's steps taken one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core import ids
from core.clock import wall
from core.context import Context
from core.db import Database
from exchanges.numbers import ONE, times
from exchanges.types import Market, Side, Venue
from ledger.accounts import EQUITY, exchange
from ledger.journal import Entry, Kind, post, transfer
from prices import markets
from tests.contexts import context_of
from tests.integration.api.conftest import CATALOG
from tests.integration.treasury.scripted import STEP, ScriptedExchange
from tests.waiting import eventually
from treasury import conversions, plan
from treasury.conversion_orders import Limits
from treasury.order_machine import Windows
from treasury.orders import Orders
from treasury.plan import Plan, PlannedLeg
from treasury.quote_tables import TreasuryQuote
from treasury.units import ledger_code

CENT = ONE // 100
OPENING = {"ETH": 100 * ONE, "EUR": 500_000 * ONE, "USDT": 500_000 * ONE, "BNB": 10 * ONE}
SOON = timedelta(milliseconds=10)
WINDOWS = Windows(
    questions=3,
    receive=timedelta(milliseconds=30),
    engine=timedelta(milliseconds=30),
    polling=timedelta(milliseconds=80),
    tell=timedelta(seconds=1),
    soonest=SOON,
    latest=SOON,
    watch_soonest=SOON,
    watch_latest=SOON,
)
LIMITS = Limits(pause=SOON)


def market(symbol: str, tick: int = CENT) -> Market:
    base, _, quote = symbol.partition("-")
    return Market(
        symbol=symbol,
        native=symbol.replace("-", ""),
        base=base,
        quote=quote,
        tick=tick,
        step=STEP,
        min_quantity=STEP,
        max_quantity=None,
        min_notional=5 * ONE,
        max_notional=None,
        taker_fee=ONE // 1000,
        trading=True,
    )


MARKETS = {
    "ETH-EUR": market("ETH-EUR"),
    "ETH-USDT": market("ETH-USDT"),
    "USDT-EUR": market("USDT-EUR", ONE // 10_000),
}


def leg(
    symbol: str,
    side: Side,
    quantity: int,
    price: int,
    *,
    path: int = 0,
    step: int = 0,
    venue: Venue = Venue.BINANCE,
) -> PlannedLeg:
    """A leg whose fee of 0.1 % is taken from what is received; all at `price`."""
    base, _, quote = symbol.partition("-")
    worth = times(quantity, price)
    given, got = (worth, quantity) if side is Side.BUY else (quantity, worth)
    sold, bought = (quote, base) if side is Side.BUY else (base, quote)
    return PlannedLeg(
        path=path,
        step=step,
        venue=venue.value,
        symbol=symbol,
        side=side,
        quantity=quantity,
        limit_price=price,
        expected_price=price,
        expected_in=given,
        expected_out=got - got // 1000,
        fee=got // 1000,
        fee_asset=bought,
        from_asset=sold,
        to_asset=bought,
    )


def plan_of(*legs: PlannedLeg) -> Plan:
    last = max(one.step for one in legs)
    firsts = [one for one in legs if one.step == 0]
    lasts = [one for one in legs if one.step == last]
    return Plan(
        firsts[0].from_asset,
        lasts[0].to_asset,
        sum(one.expected_in for one in firsts),
        sum(one.expected_out for one in lasts),
        legs,
    )


def sell_eth(quantity: int = 2 * ONE, price: int = 2000 * ONE, **more: Any) -> Plan:
    return plan_of(leg("ETH-EUR", Side.SELL, quantity, price, **more))


def through_usdt(quantity: int = 2 * ONE) -> Plan:
    """ETH to USDT at 2200, USDT to EUR at 0.9."""
    first = leg("ETH-USDT", Side.SELL, quantity, 2200 * ONE)
    second = leg("USDT-EUR", Side.SELL, first.expected_out // STEP * STEP, 9 * ONE // 10, step=1)
    return plan_of(first, second)


@dataclass
class Converting:
    """`exchange` is Binance's; `coinbase` the other one."""

    context: Context
    exchange: ScriptedExchange = field(default_factory=ScriptedExchange)
    coinbase: ScriptedExchange = field(
        default_factory=lambda: ScriptedExchange(venue=Venue.COINBASE, resend_returns_original=True)
    )
    windows: Windows = WINDOWS
    lease_seconds: float = 30

    @property
    def exchanges(self) -> Mapping[Venue, Any]:
        return {Venue.BINANCE: self.exchange, Venue.COINBASE: self.coinbase}

    def worker(self) -> Orders:
        return Orders(
            self.context,
            self.exchanges,
            windows=self.windows,
            limits=LIMITS,
            lease_seconds=self.lease_seconds,
        )

    async def open(self) -> None:
        """Markets and funds at both venues."""
        async with self.context.database.begin() as session:
            entries = [
                Entry(
                    id=ids.new(),
                    key=f"opening:{venue}:{asset}",
                    kind=Kind.OPENING,
                    reference="test",
                    merchant_id=None,
                    evidence={},
                    posted_at=wall(),
                    postings=transfer(
                        ledger_code(self.context.catalog, asset),
                        units,
                        debit=exchange(venue),
                        credit=EQUITY,
                    ),
                )
                for venue in Venue
                for asset, units in OPENING.items()
            ]
            await post(session, entries)
        async with self.context.database.statement() as connection:
            for venue in Venue:
                await markets.store(connection, venue.value, MARKETS, wall())

    async def quote(self, wanted: Plan, seconds: float = 30) -> UUID:
        """A quote that stands for so long."""
        now = self.context.clock.now()
        number = ids.new()
        async with self.context.database.begin() as session:
            session.add(
                TreasuryQuote(
                    id=number,
                    from_asset=wanted.from_asset,
                    to_asset=wanted.to_asset,
                    side="sell",
                    asked_amount=wanted.from_amount,
                    from_amount=wanted.from_amount,
                    to_amount=wanted.to_amount,
                    price=wanted.to_amount * ONE // wanted.from_amount,
                    plan=plan.dump(wanted),
                    oracle={},
                    evidence=[],
                    alternatives=[],
                    refused=[],
                    created_at=now,
                    expires_at=now + timedelta(seconds=seconds),
                    conversion_id=None,
                )
            )
        return number

    async def accept(self, quote: UUID) -> UUID:
        async with self.context.database.begin() as session:
            made = await conversions.accept(session, self.context, quote, "key_test")
        number = ids.read("cnv", made["id"])
        assert number is not None
        return number

    async def start(self, wanted: Plan, seconds: float = 30) -> UUID:
        return await self.accept(await self.quote(wanted, seconds))

    async def expire(self, number: UUID) -> None:
        """The quote's time is over, at this very moment."""
        values = {"id": number, "now": wall()}
        async with self.context.database.begin() as session:
            for table, column, key in (
                ("conversions", "valid_until", "id"),
                ("orders", "send_until", "conversion_id"),
            ):
                await session.execute(
                    text(f"update {table} set {column} = :now where {key} = :id"),  # noqa: S608
                    values,
                )

    async def sent(self, wanted: Plan) -> UUID:
        """A conversion whose first order has left; its quote has expired since."""
        number = await self.start(wanted)
        await self.work()
        await self.expire(number)
        return number

    async def show(self, number: UUID) -> dict[str, Any]:
        async with self.context.database.read() as session:
            return await conversions.show(session, number)

    async def work(self) -> int:
        """One step of each order that is due; how many there were."""
        worker = self.worker()
        due = await worker.claim(50)
        for order in due:
            await worker.step(order)
        return len(due)

    async def until(self, number: UUID, status: str, order: str | None = None) -> dict[str, Any]:
        """Works until the conversion (and its last leg) is there."""
        shown: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal shown
            await self.work()
            shown = await self.show(number)
            return shown["status"] == status and order in (None, shown["legs"][-1]["status"])

        try:
            await eventually(there, 5)
        except AssertionError:
            raise AssertionError(shown) from None
        return shown

    async def balance(self, account: str, asset: str) -> int:
        code = ledger_code(self.context.catalog, asset)
        rows = await self.rows(
            "select balance from account_balances where account = :a and asset = :c",
            a=account,
            c=code,
        )
        return int(rows[0].balance) if rows else 0

    async def rows(self, query: str, **values: Any) -> Sequence[Any]:
        async with self.context.database.read() as session:
            return (await session.execute(text(query), values)).all()

    async def told(self) -> list[str]:
        return [row.type for row in await self.rows("select type from events order by id")]

    async def agree(self) -> None:
        """The ledger holds at each venue what the venue holds, to the last unit."""
        for venue in (self.exchange, self.coinbase):
            for asset, units in OPENING.items():
                found = await self.balance(exchange(venue.venue), asset)
                assert found == units + venue.changes[asset], (venue.venue, asset)


def converting(database: Database) -> Converting:
    return Converting(context_of(database, CATALOG))
