"""A house whose bank brings fiat to a venue; nothing runs by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core import ids
from core.clock import wall
from core.db import Database
from exchanges.numbers import ONE, parse
from exchanges.types import TransferStatus, Venue, VenueDeposit
from ledger.accounts import exchange
from reconciliation import resolving, runs
from reconciliation.parts import Scope
from reconciliation.running import Reconciling
from tests.integration.reconciliation.rig import Account
from tests.integration.treasury.banking import KEY, Banking, on, open_banking
from treasury import moves
from treasury.move_machine import Windows
from treasury.move_work import Moves
from treasury.moves import NewMove

AT_ONCE = Windows(fiat=timedelta())  # each question anew
LATE = replace(AT_ONCE, late_fiat=timedelta())


@dataclass
class Bank(Account):
    """A venue with 10,000 EUR, to which a bank can send. `questions`: how often it was asked what
    banks brought."""

    held: dict[str, int] = field(default_factory=lambda: {"EUR": 10_000 * ONE})
    questions: int = 0

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        self.questions += 1
        return await super().fiat_deposits(since)

    def credit(self, amount: str, fee: str = "0") -> str:
        units = parse(amount)
        self.banked.append(
            VenueDeposit(
                id=f"b{len(self.banked)}", asset="EUR", network=None, address=None, amount=units,
                tx_hash=None, status=TransferStatus.DONE, at=wall(), fee=parse(fee),
            )
        )  # fmt: skip
        self.held["EUR"] += units
        return self.banked[-1].id


@dataclass
class Funding:
    """Moves from the bank, and what each side shows of them."""

    banking: Banking
    venue: Bank
    loop: Moves
    closing: int = 500_000
    lines: int = 0

    async def ask(self, amount: str = "1000.00", **more: Any) -> UUID:
        asked = NewMove("EUR", amount, None, "bank:main", "binance", KEY, **more)
        async with self.context.database.begin() as session:
            made = await moves.create(session, self.context, asked)
        assert (made["status"], made["reason"]) == ("approved", "order_at_bank")
        number = ids.read("mov", made["id"])
        assert number is not None
        return number

    def impatient(self) -> None:
        """A week has passed from now on, as soon as something waits."""
        exchanges: Any = {Venue.BINANCE: self.venue}
        self.loop = Moves(self.context, exchanges, windows=LATE)

    @property
    def context(self) -> Any:
        return self.banking.context

    async def approve(self, number: UUID) -> Any:
        async with self.context.database.begin() as session:
            return await moves.approve(session, self.context, number, KEY)

    async def cancel(self, number: UUID) -> Any:
        async with self.context.database.begin() as session:
            return await moves.cancel(session, self.context, number)

    async def line(self, cents: int, text: str = "", day: int = 0) -> None:
        """One of a statement of its own."""
        opening, self.closing = self.closing, self.closing + cents
        self.lines += 1  # no two are alike
        said = f"{on(day)},{euro(cents)},{text} no. {self.lines}"
        await self.banking.csv(euro(opening), euro(self.closing), said)

    async def now(self, number: UUID) -> tuple[str, str | None]:
        """After the worker's step."""
        await self.loop.step(number)
        shown = await self.show(number)
        return shown["status"], shown["reason"]

    async def show(self, number: UUID) -> Any:
        async with self.context.database.read() as session:
            return await moves.show(session, self.context, number)

    async def reconcile(self) -> str:
        """The run's status."""
        async with self.context.database.begin() as session:
            row = await runs.request(
                session, self.context, Scope.EXCHANGES, initiator=KEY, trigger=runs.COMMAND
            )
        venues: Any = {self.venue.venue: self.venue}
        worker = Reconciling(
            self.context, {}, venues, every_seconds=None, wait_seconds=0, patience=timedelta()
        )
        assert await worker.claim(1) == [row.id]
        await worker.step(row.id)
        async with self.context.database.read() as session:
            return str((await runs.show(session, row.id))["status"])

    async def resolve(self, kind: str, resolution: str) -> None:
        """The oldest Break of a kind."""
        async with self.context.database.begin() as session:
            [*_, found], _ = await resolving.page(
                session, self.context, status="open", kind=kind, place=None, limit=9, cursor=None
            )
            number = ids.read("brk", found["id"])
            await resolving.resolve(session, self.context, number, resolution, "seen", by=KEY)

    async def settled(self, number: UUID, at_bank: int, at_venue: int) -> None:
        """Done, in the books as it is in the world (cents that came or went), and no Break."""
        shown = await self.show(number)
        assert (shown["status"], shown["reason"]) == ("done", None)
        balance = self.banking.balance
        assert await balance(f"transit:{shown['id']}") == 0
        assert await balance("suspense") == 0
        assert await balance("bank:main") == 500_000 + at_bank
        held = await balance(exchange("binance"), "EUR@18")
        assert held == self.venue.held["EUR"] == 10_000 * ONE + at_venue * ONE // 100
        assert await self.reconcile() == "clean"
        assert await self.banking.breaks() == []


def euro(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def named(number: UUID) -> str:
    return ids.show("mov", number)


@asynccontextmanager
async def open_funding(database: Database) -> AsyncIterator[Funding]:
    async with open_banking(database) as banking:
        venue = Bank()
        exchanges: Any = {Venue.BINANCE: venue}
        yield Funding(banking, venue, Moves(banking.context, exchanges, windows=AT_ONCE))
