"""A ledger that has each kind of entry which changes what the house holds, a minute apart."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from core import ids
from core.clock import wall
from core.db import Database
from exchanges.numbers import ONE
from exchanges.types import Fill, Side
from ledger.accounts import (
    EQUITY,
    EXCHANGE_FEES,
    FEES,
    GAS,
    LOSSES,
    SLIPPAGE,
    SUSPENSE,
    Debt,
    Role,
    bank,
    exchange,
    merchant,
    place,
    transit,
    wallet,
)
from ledger.journal import Entry, Kind, Posting, post, transfer
from ledger.sequence import number_pending
from ledger.units import cross
from tests.integration.api.conftest import CATALOG, NETWORK
from treasury.fills import postings as fill_postings

HOT, DEPOSITS, TREASURY = (
    place(NETWORK, role) for role in (Role.HOT, Role.DEPOSITS, Role.TREASURY)
)
BINANCE = exchange("binance")
MINUTE = timedelta(minutes=1)

_DEPOSIT = """
insert into deposits (id, merchant_id, network, block_hash, block_number, block_time, tx_hash,
    position, asset, token, amount, sender, address, status, generation, account, required,
    witnessed, held, house_value, seen_at)
values (:id, :merchant, :network, :hash, 1, :at, :hash, 'tx', 'ETH', 'native', :amount, '0x1',
    '0x2', 'confirmed', 0, 'available', '1', true, false, :value, :at)
"""
_READING = """
insert into price_readings (base, quote, source, price, evidence, observed_at)
values (:base, 'USD', 'chainlink', :price, '{}', :at)
"""


class Past:
    """Entries one after the other; the last one is a minute old."""

    def __init__(self, database: Database, merchant_id: UUID, minutes: int = 60) -> None:
        self.database = database
        self.merchant_id = merchant_id
        self.now = wall() - minutes * MINUTE

    def debt(self, debt: Debt) -> str:
        return merchant(self.merchant_id, debt)

    async def add(self, kind: Kind, reference: str, *postings: Posting) -> datetime:
        self.now += MINUTE
        made = Entry(
            id=ids.new(),
            key=f"{kind}:{ids.new()}",
            kind=kind,
            reference=reference,
            merchant_id=self.merchant_id if reference.startswith("dep") else None,
            evidence={
                "note": 'said "so", \\ and\nmore',
                "symbol": reference.partition("/")[2] or None,
            },
            posted_at=self.now,
            postings=postings,
        )
        async with self.database.begin() as session:
            await post(session, [made])
        return self.now

    async def deposit(self, units: int, value: int | None) -> str:
        """Seen, with its value in cents."""
        number = ids.new()
        async with self.database.begin() as session:
            await session.execute(
                text(_DEPOSIT),
                {
                    "id": number, "merchant": self.merchant_id, "network": NETWORK,
                    "hash": f"0x{number.hex}", "at": self.now, "amount": units, "value": value,
                },
            )  # fmt: skip
        reference = ids.show("dep", number)
        lines = transfer("ETH", units, debit=DEPOSITS, credit=self.debt(Debt.PENDING))
        await self.add(Kind.DEPOSIT_SEEN, reference, *lines)
        return reference

    async def fill(self, side: Side, quantity: int, price: int, fee: int, fee_asset: str) -> None:
        done = Fill(
            id=str(ids.new()),
            venue_id="1",
            symbol="ETH-EUR",
            side=side,
            price=price,
            quantity=quantity,
            quote_quantity=quantity * price // ONE,
            fee=fee,
            fee_asset=fee_asset,
            at=self.now,
        )
        await self.add(Kind.FILL, "ord/ETH-EUR", *fill_postings(CATALOG, "binance", done))

    async def price(self, base: str, price: int) -> None:
        async with self.database.begin() as session:
            await session.execute(
                text(_READING), {"base": base, "price": price, "at": self.now - 10 * MINUTE}
            )


async def live(past: Past) -> None:
    """Openings, deposits, a reorg, a sweep, gas, a payout, moves, fills, a bank, a lost coin."""
    add = past.add
    await past.price("ETH", 2000 * ONE)
    await past.price("EUR", 11 * ONE // 10)
    await add(Kind.OPENING, "opening", *transfer("ETH", 100 * ONE, debit=HOT, credit=EQUITY))
    for code, units in (("EUR@18", 50_000 * ONE), ("BNB@18", 10 * ONE)):
        await add(Kind.OPENING, "opening", *transfer(code, units, debit=BINANCE, credit=EQUITY))
    usdc = transfer("USDC", 900 * 10**6, debit=HOT, credit=wallet(ids.new(), Debt.AVAILABLE))
    await add(Kind.OPENING, "opening", *usdc)
    two = await past.deposit(2 * ONE, 4_800_00)
    pending, available = past.debt(Debt.PENDING), past.debt(Debt.AVAILABLE)
    confirmed = transfer("ETH", 2 * ONE, debit=pending, credit=available)
    await add(Kind.DEPOSIT_CONFIRMED, two, *confirmed)
    gone = await past.deposit(7 * ONE, 17_500_00)
    back = transfer("ETH", 7 * ONE, debit=pending, credit=DEPOSITS)
    await add(Kind.DEPOSIT_REVERSED, gone, *back)
    await add(Kind.SWEEP, "0xs", *transfer("ETH", 2 * ONE, debit=TREASURY, credit=DEPOSITS))
    await add(Kind.GAS, "tx_1", *transfer("ETH", 10**15, debit=GAS, credit=HOT))
    reserved = past.debt(Debt.RESERVED)
    await add(
        Kind.PAYOUT_RESERVED, "pay_1", *transfer("ETH", ONE // 2, debit=available, credit=reserved)
    )
    await add(
        Kind.PAYOUT_PAID,
        "pay_1",
        Posting(reserved, "ETH", ONE // 2),
        Posting(HOT, "ETH", -(ONE // 2 - 10**15)),
        Posting(FEES, "ETH", -(10**15)),
    )
    on_way = transit(ids.new())
    await add(Kind.MOVE_SENT, "mov_1", *transfer("ETH", 5 * ONE, debit=on_way, credit=HOT))
    venue = cross(CATALOG.assets["ETH"], 4 * ONE, debit=BINANCE, credit=on_way)
    await add(Kind.MOVE_ARRIVED, "mov_1", *venue)
    usdc_way = cross(CATALOG.assets["USDC"], 400 * 10**6, debit=BINANCE, credit=HOT)
    await add(Kind.MOVE_ARRIVED, "mov_2", *usdc_way)
    await past.fill(Side.SELL, 3 * ONE, 2000 * ONE, 6 * ONE + 1, "EUR")
    await past.fill(Side.BUY, ONE, 1900 * ONE, ONE // 100, "BNB")
    await add(Kind.SLIPPAGE, "cnv_1", *transfer("EUR@18", 7, debit=SLIPPAGE, credit="trading"))
    fee = transfer("USDC@18", 15 * 10**17, debit=EXCHANGE_FEES, credit=BINANCE)
    await add(Kind.VENUE_TRANSFER, "mov_3", *fee)
    euro = CATALOG.asset("EUR")
    assert euro is not None
    await add(Kind.BANK, "bnk_1", *cross(euro, -100_00, debit=BINANCE, credit=bank("Haus bank")))
    await add(Kind.UNKNOWN_INFLOW, "0xu", *transfer("ETH", 3, debit=HOT, credit=SUSPENSE))
    await add(Kind.BREAK_RESOLVED, "brk_1", *transfer("ETH", 1, debit=LOSSES, credit=HOT))
    await number_pending(past.database)
