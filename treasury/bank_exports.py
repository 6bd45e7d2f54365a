"""Payouts that a bank is to carry out, as files for it. One payout is in one file: that is written
before the file is given out, and the same file comes again by its id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.banks import BankAccount
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.money import FIAT
from core.pages import page_of
from payments import bank_payouts
from treasury import bank_settling, pain
from treasury.bank_tables import BankExport
from treasury.breaks import close_and_tell

LARGEST = 1000  # payouts of a file: what is left is for the next one


async def make(
    session: AsyncSession,
    context: Context,
    *,
    account: str | None,
    currency: str | None,
    by: str,
) -> dict[str, Any]:
    """A file of all that was released and is in none yet; from now on they are `sending`.

    account: the house's that pays; None: the only one in `currency`, or the only one. Raises
    Invalid `unknown_account`, `account_required`, `no_iban`; Conflict `nothing_to_export`.
    """
    payer = _payer(context, account, currency)
    await bank_settling.lock(session, payer.id)
    rows = await bank_payouts.ready(session, payer.asset.symbol, LARGEST)
    if not rows:
        detail = f"no released payout in {payer.asset.symbol} waits for a file"
        raise Conflict(detail, code="nothing_to_export")
    payees = await bank_payouts.accounts_of(session, rows)
    number, now = ids.new(), context.clock.now()
    transfers = [
        pain.Transfer(
            id=ids.show("pay", row.id),
            amount=row.amount,
            holder=payees[row.id].holder,
            iban=payees[row.id].iban,
            bic=payees[row.id].bic,
            text=ids.show("pay", row.id).replace("_", "-"),
        )
        for row in rows
    ]
    try:
        content = pain.write(ids.show("bex", number), payer, transfers, now)
    except ValueError as error:
        raise Invalid.of("account", str(error), code="no_iban") from None
    export = BankExport(
        id=number,
        account=payer.id,
        asset=payer.asset.symbol,
        payouts=len(rows),
        total=sum(row.amount for row in rows),
        format=pain.FORMAT,
        content=content,
        made_by=by,
        created_at=now,
    )
    session.add(export)
    await bank_payouts.ordered(session, context, rows, number)
    return export_json(export)


def _payer(context: Context, account: str | None, currency: str | None) -> BankAccount:
    if account is not None and account not in context.banks:
        known = ", ".join(context.banks) or "none is"
        detail = f"is not configured: {known} (banks.<id> of bezant.toml)"
        raise Invalid.of("account", detail, code="unknown_account")
    found = [
        one
        for one in context.banks.values()
        if account in (None, one.id) and currency in (None, one.asset.symbol)
    ]
    if len(found) != 1:
        detail = f"{len(found)} of the house's accounts could pay: name one"
        raise Invalid.of("account", detail, code="account_required")
    return found[0]


async def declined(
    session: AsyncSession, context: Context, payout_id: UUID | None, reason: str
) -> dict[str, Any]:
    """As payments.bank_payouts.decline; that it is overdue is explained by it."""
    found = await bank_payouts.decline(session, context, payout_id, reason)
    key = bank_settling.claim_key(found["id"])
    await close_and_tell(session, context, [(key, f"the bank did not carry it out: {reason}")])
    return found


async def page(
    session: AsyncSession, *, account: str | None, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, BankExport, limit, cursor, account=account)
    return [export_json(row) for row in rows], more


async def find(session: AsyncSession, export_id: UUID | None) -> BankExport:
    """Raises NotFound."""
    row = await session.get(BankExport, export_id) if export_id else None
    if row is None:
        raise NotFound("no such export")
    return row


def export_json(row: BankExport) -> dict[str, Any]:
    """Without the file itself."""
    return {
        "id": ids.show("bex", row.id),
        "object": "bank_export",
        "account": row.account,
        "asset": row.asset,
        "payouts": row.payouts,
        "total": FIAT[row.asset].format(row.total),
        "format": row.format,
        "made_by": row.made_by,
        "created_at": show_time(row.created_at),
    }
