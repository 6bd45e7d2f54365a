"""What people decide about invoices and the inbox: cancel, mark, credit, ignore."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw
from core.errors import Conflict, Invalid
from ledger.accounts import Debt, merchant
from ledger.journal import post
from payments import heights as heights_of
from payments import overdraft
from payments.cases import Case, Outcome, judge, lock, save
from payments.deposits import find as find_deposit
from payments.deposits import invoice_of
from payments.invoices import find as find_invoice
from payments.screened import rejected
from payments.views import currency_of, deposit_json, invoice_json
from webhooks.events import emit


async def cancel(
    session: AsyncSession, context: Context, merchant_id: UUID | None, invoice_id: UUID | None
) -> dict[str, Any]:
    """Closes an unpaid invoice now; what still comes is late. Raises NotFound, Conflict."""
    case, now = await _open(session, context, merchant_id, invoice_id)
    if case.invoice.status != "new" or case.invoice.mark is not None:
        if case.invoice.cancelled_at is not None:
            return await _shown(session, context, case)
        raise Conflict(
            f"only a new invoice can be cancelled, this one is {case.invoice.status}",
            code="invoice_not_open",
        )
    case.invoice.cancelled_at = now
    await _rejudge(session, context, case, now)
    return await _shown(session, context, case)


async def mark(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    invoice_id: UUID | None,
    status: str,
    reason: str,
) -> dict[str, Any]:
    """A person's word stands above the sums (MONEY 3). Raises NotFound, Conflict, Invalid."""
    if status not in ("settled", "invalid"):
        raise Invalid.of("status", "is settled or invalid")
    case, now = await _open(session, context, merchant_id, invoice_id)
    if case.invoice.mark is None and case.invoice.status == "settled":
        raise Conflict("the invoice is settled by its payments", code="invoice_settled")
    case.invoice.mark, case.invoice.mark_reason = status, reason
    await _rejudge(session, context, case, now)
    return await _shown(session, context, case)


async def resolve(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    deposit_id: UUID | None,
    action: str,
    invoice_id: UUID | None = None,
) -> dict[str, Any]:
    """Takes a deposit out of the inbox: `credit` makes it spendable and counts it (at its late
    value) towards its invoice; `ignore` leaves the money where it is and the question closed.

    Raises NotFound, Invalid, Conflict `not_in_inbox`, `already_resolved` or `not_confirmed`.
    """
    found = await find_deposit(session, deposit_id, merchant_id)
    number = invoice_of(found)
    if invoice_id is not None and invoice_id != number:
        raise Invalid.of("invoice", "this deposit was paid to the address of another invoice")
    case = (await lock(await raw(session), [number]))[number]
    deposit = next(d for d in case.deposits if d.id == found.id)
    if deposit.inbox_reason is None or deposit.status == "orphaned":
        raise Conflict("this deposit is not in the inbox", code="not_in_inbox")
    if deposit.resolution is not None:
        if deposit.resolution == action:
            return await _shown_deposit(session, context, case, deposit_id)
        raise Conflict(f"resolved already: {deposit.resolution}", code="already_resolved")
    if deposit.held and not (action == "ignore" and rejected(case, deposit)):
        raise Conflict("screening holds this deposit", code="held")
    if action == "credit" and deposit.status != "confirmed":
        raise Conflict("the deposit is not confirmed yet", code="not_confirmed")
    now = context.clock.now()
    deposit.resolution, deposit.resolved_at = action, now
    await _rejudge(session, context, case, now)
    return await _shown_deposit(session, context, case, deposit_id)


async def _open(
    session: AsyncSession, context: Context, merchant_id: UUID | None, invoice_id: UUID | None
) -> tuple[Case, datetime]:
    row = await find_invoice(session, invoice_id, merchant_id)
    case = (await lock(await raw(session), [row.id]))[row.id]
    return case, context.clock.now()


async def _rejudge(session: AsyncSession, context: Context, case: Case, now: datetime) -> None:
    """The same rule as ever, with the new fact; what the merchant has spent stays his to fill."""
    connection = await raw(session)
    heights, followed = await heights_of.load_all(connection, context.catalog)
    outcome = Outcome(context, heights, now)
    judge(case, followed, outcome)
    await save(connection, [case])
    available = merchant(case.invoice.merchant_id, Debt.AVAILABLE)
    leaves = any(
        p.account == available and p.amount > 0 for e in outcome.entries for p in e.postings
    )
    posted = await post(session, outcome.entries, guarded=[available] if leaves else [])
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, now)
    await connection.execute("select pg_notify('invoice', %s)", (case.invoice.id.hex,))


async def _shown(session: AsyncSession, context: Context, case: Case) -> dict[str, Any]:
    known = await heights_of.load(session)
    return invoice_json(case.invoice, case.deposits, context.catalog, known, context.public_url)


async def _shown_deposit(
    session: AsyncSession, context: Context, case: Case, deposit_id: UUID | None
) -> dict[str, Any]:
    known = await heights_of.load(session)
    row = next(d for d in case.deposits if d.id == deposit_id)
    return deposit_json(row, currency_of(case.invoice), context.catalog, known)
