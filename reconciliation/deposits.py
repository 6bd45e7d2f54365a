"""Deposits against the entries that they made, and against the invoices that they pay.

Nothing is taken from a stored sum: each deposit's entries are added up, each invoice is judged
again from its deposits, and the accounts that only deposits move are derived from them once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw, snapshot
from core.ids import read, show
from ledger.accounts import is_place, merchant, wallet
from ledger.breaks import BreakKind, Difference
from payments.assess import assess
from payments.cases import Case
from payments.cases import facts as facts_of
from payments.heights import NEVER
from payments.settle_entries import standing
from payments.tables import Deposit, Invoice
from reconciliation import marks
from reconciliation.deposit_rows import (
    BOOKED,
    DEPOSITS,
    KNOWN,
    OWED,
    SEEN,
    UNPAID,
    DepositRow,
    settled_of,
    sums_of,
)
from reconciliation.parts import DepositFacts, Part

PAGE = 1000
AGAIN = timedelta(days=1)  # before the last run: looked at again
_ZERO = UUID(int=0)


class DepositComparison:
    """Of one run. `since`: only what changed after it (and what is not over); None: all."""

    def __init__(self, context: Context, run_id: UUID, since: datetime | None) -> None:
        self._context = context
        self._run_id = run_id
        self._since = None if since is None else since - AGAIN
        self._part = Part("invoices")

    async def compare(self) -> Part:
        """Page by page, each in a snapshot of its own: a deposit, its entries and its invoice."""
        part = self._part
        async with self._context.database.read() as session:
            standing = await marks.standing(session, part.prefix)
        named = [key.rpartition(":")[2] for key in standing]
        again = [number for name in named if (number := read("dep", name)) is not None]
        after: UUID | None = _ZERO
        while after is not None:
            after = await self._page(after, again)
        after = _ZERO
        while after is not None:
            after = await self._entries(after, named)
        await self._accounts()
        return part

    async def _page(self, after: UUID, again: Sequence[UUID]) -> UUID | None:
        values = {"after": after, "since": self._since, "again": list(again), "limit": PAGE}
        async with self._context.database.read() as session:
            connection = await snapshot(session)
            async with connection.cursor(row_factory=class_row(DepositRow)) as cursor:
                rows = await (await cursor.execute(DEPOSITS, values)).fetchall()
            sums = await sums_of(connection, [row.name for row in rows])
            for row in rows:
                self._deposit(row, sums[row.name])
            await self._invoices(session, {r.invoice_id for r in rows if r.invoice_id})
        return rows[-1].id if len(rows) == PAGE else None

    def _deposit(self, row: DepositRow, booked: Mapping[tuple[str, str], int]) -> None:
        self._part.compared += 1
        expected = row.expected()
        accounts = expected.keys() | booked.keys()
        for account, asset in sorted(accounts, key=lambda pair: (not is_place(pair[0]), pair)):
            wanted, found = expected.get((account, asset), 0), booked.get((account, asset), 0)
            if wanted != found:
                self._differs(row, account, asset, wanted, found)
                return  # the other side of the same entry says the same

    def _differs(self, row: DepositRow, account: str, asset: str, wanted: int, found: int) -> None:
        reason = f"its entries come to {found} at {account}, {wanted} base units are right"
        if not found:
            kind = BreakKind.MISSING_IN_LEDGER
        elif row.status == "orphaned":
            kind = BreakKind.MISSING_ON_CHAIN
        elif wanted and found % wanted == 0 and found // wanted > 1:
            kind = BreakKind.DUPLICATE
        else:
            kind = BreakKind.AMOUNT
        facts: DepositFacts = {
            "deposit": row.name,
            "invoice": show("inv", row.invoice_id) if row.invoice_id else None,
            "network": row.network,
            "address": row.address,
            "tx_hash": row.tx_hash,
            "position": row.position,
            "block_number": row.block_number,
            "block_hash": row.block_hash,
            "reason": reason,
        }
        self._add(("deposit", row.name), kind, account, asset, wanted, found, dict(facts))

    async def _invoices(self, session: AsyncSession, numbers: set[UUID]) -> None:
        """Judged once more, from all their deposits."""
        if not numbers:
            return
        query = select(Invoice).where(Invoice.id.in_(numbers))
        cases = {row.id: Case(row) for row in await session.scalars(query)}
        deposits = select(Deposit).where(Deposit.invoice_id.in_(numbers)).order_by(Deposit.id)
        for deposit in await session.scalars(deposits):
            if deposit.invoice_id in cases:
                cases[deposit.invoice_id].deposits.append(deposit)
        settling = {show("inv", c.invoice.id) for c in cases.values() if c.invoice.settlement}
        sums = await settled_of(await raw(session), sorted(settling))
        for case in cases.values():
            self._part.compared += 1
            self._judge(case)
            self._settled(case, sums[show("inv", case.invoice.id)])
        session.expunge_all()

    def _judge(self, case: Case) -> None:
        """Its sums, and that settled means paid. When it expires is no matter of money."""
        invoice = case.invoice
        never: defaultdict[str, datetime] = defaultdict(lambda: NEVER)
        answer = assess(facts_of(case, self._context), never)
        pairs = (
            ("amount_paid", answer.paid, invoice.amount_paid),
            ("amount_confirmed", answer.confirmed, invoice.amount_confirmed),
        )
        wrong = [(name, right, stored) for name, right, stored in pairs if right != stored]
        settled = answer.status == "settled"
        if settled != (invoice.status == "settled"):
            wrong.append(
                (f"status is {invoice.status}", answer.confirmed, invoice.amount_confirmed)
            )
        if wrong:
            name, right, stored = wrong[0]
            self._invoice(invoice, f"{name}: its deposits say otherwise", right, stored)

    def _settled(self, case: Case, booked: Mapping[tuple[str, str], int]) -> None:
        """What its crypto became, where its merchant takes fiat: the row and its entries."""
        expected = standing(case.invoice, case.options)
        number = show("inv", case.invoice.id)
        for account, asset in sorted(expected.keys() | booked.keys()):
            wanted, found = expected.get((account, asset), 0), booked.get((account, asset), 0)
            if wanted != found:
                reason = f"its settlement's entries come to {found} at {account}, {wanted} is right"
                facts = {"invoice": number, "status": case.invoice.status, "reason": reason}
                kind = BreakKind.AMOUNT if found else BreakKind.MISSING_IN_LEDGER
                key = ("settlement", number)
                self._add(key, kind, account, asset, wanted, found, facts)
                return  # the other side of the same entry says the same

    def _invoice(self, invoice: Invoice, reason: str, right: int, stored: int) -> None:
        number = show("inv", invoice.id)
        facts = {
            "invoice": number,
            "status": invoice.status,
            "currency": invoice.currency,
            "address": invoice.address,
            "reason": reason,
        }
        self._add(
            ("invoice", number), BreakKind.AMOUNT, number, invoice.currency, right, stored, facts
        )

    async def _entries(self, after: UUID, named: Sequence[str]) -> UUID | None:
        """Entries of deposits that nobody knows."""
        values = {"after": after, "since": self._since, "named": list(named), "limit": PAGE}
        async with self._context.database.read() as session:
            connection = await snapshot(session)
            rows = await (await connection.execute(SEEN, values)).fetchall()
            numbers = {reference: read("dep", reference) for _, reference in rows}
            asked = [number for number in numbers.values() if number is not None]
            known = {r[0] for r in await (await connection.execute(KNOWN, (asked,))).fetchall()}
            lost = [name for name, number in numbers.items() if number not in known]
            sums = await sums_of(connection, lost)
        for name in lost:
            self._part.compared += 1
            standing = {pair: units for pair, units in sums[name].items() if units > 0}
            for (account, asset), units in standing.items():
                facts = {
                    "deposit": name,
                    "reason": "the ledger has entries of it, the deposit is gone",
                }
                self._add(("deposit", name), BreakKind.ORPHAN, account, asset, 0, units, facts)
        return rows[-1][0] if len(rows) == PAGE else None

    async def _accounts(self) -> None:
        """`pending` and `inbox` are the live deposits that stand there; settled ones have some."""
        async with self._context.database.read() as session:
            connection = await snapshot(session)
            owed: defaultdict[tuple[str, str], int] = defaultdict(int)
            for merchant_id, wallet_id, debt, asset, units in await (
                await connection.execute(OWED)
            ).fetchall():
                whose = wallet(wallet_id, debt) if wallet_id else merchant(merchant_id, debt)
                owed[whose, asset] += units
            rows = await (await connection.execute(BOOKED)).fetchall()
            unpaid = [row[0] for row in await (await connection.execute(UNPAID)).fetchall()]
            await self._invoices(session, set(unpaid))
        booked = {(account, asset): units for account, asset, units in rows}
        for account, asset in sorted(owed.keys() | booked.keys()):
            self._part.compared += 1
            right, found = owed[account, asset], booked.get((account, asset), 0)
            if right != found:
                facts = {"account": account, "reason": "its deposits come to another sum"}
                key = ("account", account, asset)
                self._add(key, BreakKind.AMOUNT, account, asset, right, found, facts)

    def _add(
        self,
        key: Sequence[object],
        kind: BreakKind,
        account: str,
        asset: str | None,
        expected: int,
        actual: int,
        facts: dict[str, Any],
    ) -> None:
        self._part.add(
            Difference(
                key=self._part.key(*key),
                kind=kind,
                place=account,
                asset=asset,
                expected=expected,
                actual=actual,
                facts=facts,
                run_id=self._run_id,
            )
        )
