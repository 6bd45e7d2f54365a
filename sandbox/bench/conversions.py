"""Conversions per second through the simulated venues, against their orders by an adapter alone.

The simulators run in this process, in both halves alike; their limits of requests are raised, so
that they do not bound what is measured. The adapters' own pacing stays.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from aiohttp import web

from core import ids, schema
from core.clock import wall
from core.context import Context
from core.errors import BezantError
from exchanges.binance.adapter import Binance
from exchanges.coinbase.adapter import Coinbase
from exchanges.numbers import ONE, parse, times
from exchanges.protocol import Exchange
from exchanges.types import LimitOrder, Market, Side, Venue
from ledger.accounts import EQUITY
from ledger.accounts import exchange as account_of
from ledger.journal import Entry, Kind, post, transfer
from prices import markets
from sandbox.bench.books import open_books
from sandbox.bench.house import House
from sandbox.bench.quotes import NETWORK
from sandbox.bench.result import Row, paired
from sandbox.exchanges import binance_server, certificates, coinbase_server
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.types import Credential
from sandbox.simulators import ec_key, public_of
from treasury import conversions, plan
from treasury.orders import Orders
from treasury.plan import Plan, PlannedLeg
from treasury.quote_tables import TreasuryQuote
from treasury.units import ledger_code

SYMBOL, MID = "ETH-EUR", "2272.73"
QUANTITY = ONE // 100
SLACK = ONE // 20  # below the mid: all of a round is filled
PARALLEL = 8  # as the worker has it
WEIGHT = 10**9  # of requests in a minute, at Binance
PER_SECOND = 100_000  # requests, at Coinbase
TIMEOUT = 10
STANDS = timedelta(minutes=5)
PATIENCE_SECONDS = 120
LOOK_SECONDS = 0.01
KEY, SECRET = "bench" * 12, "secret" * 8

_DONE = """
select count(*) filter (where status = 'filled'), count(*) filter (where status = 'failed'
    or status = 'partially_filled') from conversions where id = any(%s)
"""


async def measure(house: House) -> list[Row]:
    """Ours: accepted quotes until the last one is filled and in the books. The floor sends the same
    orders and reads their fills, eight at a time, and stores nothing. Coinbase takes thirty
    requests a second, which bounds both halves."""
    rows = []
    async with house.database("bench_conversions") as url:
        schema.migrate(url)
        for open_venue, full in ((_binance, 400), (_coinbase, 100)):
            count = house.number(full, 40)
            async with (
                open_books(url, NETWORK) as context,
                open_venue(house.directory / "bench_venues") as exchange,
            ):
                market = (await exchange.markets())[SYMBOL]
                await _stock(context, exchange, market)
                ours, floor = [], []
                for _ in range(house.number(3, 2)):
                    floor.append(count / await _alone(exchange, market, count))
                    ours.append(count / await _converted(context, exchange, market, count))
                what = f"conversions at a simulated {exchange.venue} (floor: its orders, fills)"
                rows.append(paired(what, "/s", ours, floor, peer="none"))
    return rows


@asynccontextmanager
async def _binance(_directory: Path) -> AsyncIterator[Exchange]:
    """A simulator with its limits raised, and the real adapter that talks to it."""
    simulator = Simulator(Venue.BINANCE, credentials=[Credential(key=KEY, secret=SECRET)])
    application = binance_server.application(simulator, weight=WEIGHT)
    async with (
        _served(simulator, application) as host,
        Binance(
            key=KEY, secret=SECRET, url=f"http://{host}", ws_api_url=f"ws://{host}/ws-api/v3",
            stream_url=f"ws://{host}", networks={}, timeout=TIMEOUT,
        ) as exchange,
    ):  # fmt: skip
        yield exchange


@asynccontextmanager
async def _coinbase(directory: Path) -> AsyncIterator[Exchange]:
    """As `_binance`; with certificates in `directory`."""
    secret = ec_key()
    credential = Credential(key="organizations/1/apiKeys/1", public=public_of(secret))
    simulator = Simulator(Venue.COINBASE, credentials=[credential])
    kept = certificates.ensure(directory)
    application = coinbase_server.application(simulator, per_second=PER_SECOND)
    async with (
        _served(simulator, application, kept.server_context()) as host,
        Coinbase(
            key=credential.key, secret=secret, url=f"https://{host}", stream_url=f"wss://{host}",
            ca_file=kept.ca_file, networks={}, timeout=TIMEOUT,
        ) as exchange,
    ):  # fmt: skip
        yield exchange


@asynccontextmanager
async def _served(
    simulator: Simulator, application: web.Application, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Its address."""
    for symbol, mid in ((SYMBOL, MID), ("ETH-USDT", "2500"), ("USDT-EUR", "0.9091")):
        simulator.set_mid(symbol, parse(mid))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        simulator.close()


async def _stock(context: Context, exchange: Exchange, market: Market) -> None:
    """What the account holds, in the books; and the venue's rules."""
    held = await exchange.balances()
    now = wall()
    entries = [
        Entry(
            id=ids.new(), key=f"bench:{exchange.venue}:{asset}", kind=Kind.OPENING,
            reference="bench", merchant_id=None, evidence={}, posted_at=now,
            postings=transfer(
                ledger_code(context.catalog, asset), held[asset].free,
                debit=account_of(exchange.venue), credit=EQUITY,
            ),
        )
        for asset in ("ETH", "EUR")
    ]  # fmt: skip
    async with context.database.begin() as session:
        await post(session, entries)
    async with context.database.statement() as connection:
        await markets.store(connection, exchange.venue.value, {SYMBOL: market}, now)


async def _alone(exchange: Exchange, market: Market, count: int) -> float:
    """Seconds for so many orders and their fills."""
    left = iter(range(count))

    async def sender() -> None:
        for _ in left:
            order = LimitOrder(
                client_id=ids.new().hex, symbol=SYMBOL, side=Side.SELL,
                quantity=QUANTITY, price=_limit(market),
            )  # fmt: skip
            placed = await exchange.place(order)
            await exchange.fills(SYMBOL, placed.venue_id)

    started = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(PARALLEL)))
    return time.perf_counter() - started


async def _converted(context: Context, exchange: Exchange, market: Market, count: int) -> float:
    """Seconds from accepting so many quotes until all are filled. Raises BezantError when one is
    not."""
    quotes = await _quotes(context, exchange, market, count)
    worker = asyncio.create_task(
        Orders(context, {exchange.venue: exchange}, parallel=PARALLEL, poll_seconds=0.02).run()
    )
    try:
        started = time.perf_counter()
        accepted = [await _accept(context, quote) for quote in quotes]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if await _filled(context, accepted):
                    return time.perf_counter() - started
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def _filled(context: Context, accepted: Sequence[UUID]) -> bool:
    async with context.database.statement() as connection:
        found = await (await connection.execute(_DONE, (list(accepted),))).fetchone()
    filled, fell_short = found or (0, 0)
    if fell_short:
        raise BezantError(f"{fell_short} conversions fell short")
    return bool(filled == len(accepted))


async def _accept(context: Context, quote: UUID) -> UUID:
    async with context.database.begin() as session:
        made = await conversions.accept(session, context, quote, "key_bench")
    number = ids.read("cnv", made["id"])
    if number is None:
        raise BezantError("a conversion without an id")
    return number


async def _quotes(
    context: Context, exchange: Exchange, market: Market, count: int
) -> Sequence[UUID]:
    """Each of one order; quotes have a measure of their own."""
    planned = _plan(exchange, market)
    now = context.clock.now()
    rows = [
        TreasuryQuote(
            id=ids.new(), from_asset=planned.from_asset, to_asset=planned.to_asset, side="sell",
            asked_amount=planned.from_amount, from_amount=planned.from_amount,
            to_amount=planned.to_amount, price=planned.to_amount * ONE // planned.from_amount,
            plan=plan.dump(planned), oracle={}, evidence=[], alternatives=[], refused=[],
            created_at=now, expires_at=now + STANDS, conversion_id=None,
        )
        for _ in range(count)
    ]  # fmt: skip
    numbers = [row.id for row in rows]
    async with context.database.begin() as session:
        session.add_all(rows)
    return numbers


def _plan(exchange: Exchange, market: Market) -> Plan:
    price = _limit(market)
    worth = times(QUANTITY, price)
    fee = times(worth, market.taker_fee)
    leg = PlannedLeg(
        path=0, step=0, venue=exchange.venue.value, symbol=SYMBOL, side=Side.SELL,
        quantity=QUANTITY, limit_price=price, expected_price=price, expected_in=QUANTITY,
        expected_out=worth - fee, fee=fee, fee_asset=market.quote, from_asset=market.base,
        to_asset=market.quote,
    )  # fmt: skip
    return Plan(market.base, market.quote, QUANTITY, worth - fee, (leg,))


def _limit(market: Market) -> int:
    """Of a sale, on the tick."""
    price = parse(MID) - times(parse(MID), SLACK)
    return price - price % market.tick
