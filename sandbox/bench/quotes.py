"""How long the best execution of a size takes, against reading the two books that it rests on."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import psycopg

from core import schema
from core.clock import wall
from core.context import Context
from core.db import plain_url
from core.money import crypto
from core.networks import NATIVE, Network, Token
from exchanges.numbers import ONE, parse
from exchanges.types import Balance, Market
from prices import balances, books, markets
from prices.books import DEPTH, StoredBook
from sandbox.bench.books import open_books
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row, paired, quantile
from treasury.quotes import NewQuote, make

VENUES = ("binance", "coinbase")
# What one of the base costs; every book has DEPTH levels a side, 0.02 % apart.
MIDS = {"ETH-EUR": "2272.72", "ETH-USDT": "2500", "USDT-EUR": "0.9090"}
NETWORK = Network(
    id="eip155:31339",
    chain_id=31339,
    name="Bench",
    rpc_urls=("http://127.0.0.1:1",),
    block_seconds=1,
    poll_ms=1000,
    tokens=(
        Token(asset=crypto("ETH", 18), address=NATIVE),
        Token(asset=crypto("USDT", 6), address="0x" + "dd" * 20),
    ),
)
# From one that the first levels hold to one that goes through hundreds, over both venues.
WISHES = (
    NewQuote("ETH", "EUR", "1", "sell"),
    NewQuote("ETH", "EUR", "100", "sell"),
    NewQuote("EUR", "ETH", "200000", "sell"),
    NewQuote("EUR", "ETH", "100", "buy"),
)
HELD = {asset: Balance(10**7 * ONE, 0) for asset in ("ETH", "EUR", "USDT")}
_FLOOR = "select bids, asks from venue_books where symbol = 'ETH-EUR'"


async def measure(house: House) -> list[Row]:
    """The 99th percentile over sizes from one level to hundreds."""
    async with house.database("bench_quotes") as url:
        schema.migrate(url)
        async with (
            open_books(url, NETWORK) as context,
            await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as bare,
        ):
            await _stock(context)
            ours, floors = [], []
            for _ in range(house.number(5, 2)):
                quoted, read = [], []
                for _ in range(house.number(50, 10)):
                    for wish in WISHES:
                        await _beat(context)
                        started = time.perf_counter()
                        await (await bare.execute(_FLOOR)).fetchall()
                        read.append(time.perf_counter() - started)
                        quoted.append(await _quote(context, wish))
                ours.append(1000 * quantile(quoted, 0.99))
                floors.append(1000 * quantile(read, 0.99))
    aim = Aim(50, at_least=False, of="ours")
    return [paired(f"quote, {DEPTH} levels a side, p99", "ms", ours, floors, aim=aim, peer="none")]


async def _quote(context: Context, wish: NewQuote) -> float:
    started = time.perf_counter()
    async with context.database.begin() as session:
        await make(session, context, wish)
    return time.perf_counter() - started


async def _beat(context: Context) -> None:
    """As the streams do it: nothing that a quote rests on is stale."""
    now = wall()
    async with context.database.statement() as connection:
        for venue in VENUES:
            await books.heard(connection, venue, now)
            await balances.store(connection, venue, HELD, now)


async def _stock(context: Context) -> None:
    """Both venues with deep books and more than enough money, and what Chainlink says."""
    now = wall()
    async with context.database.statement() as connection:
        for number, venue in enumerate(VENUES):
            fee = parse("0.001") * (1 + number)
            listed = {symbol: _market(symbol, fee) for symbol in MIDS}
            await markets.store(connection, venue, listed, now)
            await books.store(connection, venue, [_book(venue, s) for s in listed])
        for base, price in (("ETH", parse("2500")), ("EUR", parse("1.1"))):
            await connection.execute(
                "insert into prices (base, quote, price, updated_at, valid_until, sources,"
                " observed_at) values (%s, 'USD', %s, %s, %s, %s, %s)",
                (base, price, now, now + timedelta(days=1), json.dumps([{}]), now),
            )


def _market(symbol: str, fee: int) -> Market:
    base, _, quote = symbol.partition("-")
    return Market(
        symbol=symbol, native=symbol, base=base, quote=quote, tick=parse("0.0001"),
        step=parse("0.0001"), min_quantity=parse("0.0001"), max_quantity=None,
        min_notional=5 * ONE, max_notional=None, taker_fee=fee, trading=True,
    )  # fmt: skip


def _book(venue: str, symbol: str) -> StoredBook:
    mid, tick = parse(MIDS[symbol]), parse("0.0001")
    size = ONE // 2 if symbol.startswith("ETH") else 1000 * ONE

    def side(sign: int) -> list[list[str]]:
        prices = [mid * (10_000 + 2 * sign * n) // 10_000 for n in range(1, DEPTH + 1)]
        return [[str(price - price % tick), str(size + n)] for n, price in enumerate(prices)]

    return StoredBook(venue, symbol, side(-1), side(1), 1, wall(), None, True)
