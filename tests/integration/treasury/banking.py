"""The house's books with money at Binance and a bank whose statements a test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from core import ids
from core.banks import BankAccount, CsvMapping
from core.context import Context
from core.db import Database
from core.money import FIAT
from exchanges.numbers import ONE
from ledger.accounts import EQUITY, exchange
from ledger.journal import Entry, Kind, post, transfer
from ledger.tables import AccountBalance, BreakRow
from ledger.verify import verify
from tests.integration.treasury.converting import converting
from treasury import bank_statements, moves
from treasury.moves import NewMove

KEY = "key_01h455vb4pex5vsknk084sn02q"
IBAN = "DE89370400440532013000"
CSV = CsvMapping(date="Date", amount="Amount", text=("Text",))
BALANCED = CsvMapping(
    date="Tag", amount="Betrag", balance="Saldo", text=("Zweck",), date_format="%d.%m.%Y",
    delimiter=";", decimal=",", thousands=".", newest_first=True,
)  # fmt: skip
BANKS = {
    "main": BankAccount(id="main", name="Main", asset=FIAT["EUR"], iban=IBAN, csv=CSV),
    "other": BankAccount(id="other", name="Other", asset=FIAT["EUR"], csv=BALANCED),
}
TODAY = date.today()  # noqa: DTZ011 - a bank's day


@dataclass
class Banking:
    """The house's books, with 10,000 EUR at Binance."""

    context: Context

    async def order(self, amount: str, bank: str = "main") -> str:
        """A move that a person has ordered at the venue; its TypeID."""
        asked = NewMove("EUR", amount, None, "binance", f"bank:{bank}", KEY)
        async with self.context.database.begin() as session:
            made = await moves.create(session, self.context, asked)
        async with self.context.database.begin() as session:
            await moves.approve(session, self.context, ids.read("mov", made["id"]), KEY)
        return str(made["id"])

    async def take(self, content: str | bytes, account: str = "main", **more: Any) -> Any:
        async with self.context.database.begin() as session:
            return await bank_statements.take(
                session, self.context, account, content, by=KEY, **more
            )

    async def csv(self, opening: str, closing: str, *lines: str) -> Any:
        content = "\n".join(["Date,Amount,Text", *lines])
        return await self.take(content, opening=opening, closing=closing)

    async def balance(self, account: str, asset: str = "EUR") -> int:
        async with self.context.database.read() as session:
            query = select(AccountBalance.balance).where(
                AccountBalance.account == account, AccountBalance.asset == asset
            )
            return int(await session.scalar(query) or 0)

    async def breaks(self) -> list[tuple[str, str, int]]:
        """Kind, place and amount of those that stand, oldest first."""
        async with self.context.database.read() as session:
            query = select(BreakRow).where(BreakRow.status == "open").order_by(BreakRow.id)
            return [
                (row.kind, row.place, (row.actual or 0) - (row.expected or 0))
                for row in await session.scalars(query)
            ]

    async def lines(self, status: str | None = None) -> list[dict[str, Any]]:
        async with self.context.database.read() as session:
            found, _ = await bank_statements.lines(
                session, account="main", statement_id=None, status=status, limit=100, cursor=None
            )
        return found[::-1]


@asynccontextmanager
async def open_banking(database: Database) -> AsyncIterator[Banking]:
    """With 10,000 EUR at Binance; at the end the books are verified."""
    context = converting(database).context
    context.banks = BANKS
    euro = transfer("EUR@18", 10_000 * ONE, debit=exchange("binance"), credit=EQUITY)
    entry = Entry(
        id=ids.new(), key="opening:binance", kind=Kind.OPENING, reference="", merchant_id=None,
        evidence={}, posted_at=context.clock.now(), postings=euro,
    )  # fmt: skip
    async with database.begin() as session:
        await post(session, [entry])
    yield Banking(context)
    report = await verify(database)
    assert report.problems == ()


def on(days: int) -> str:
    return (TODAY + timedelta(days)).isoformat()
