"""Taking a bank's statement in, once, and what statements and lines are there."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.banks import BankAccount
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from ledger.accounts import EQUITY, bank
from ledger.journal import Entry, Kind, post, transfer
from ledger.tables import AccountBalance
from treasury import bank_csv, bank_files, bank_gaps, camt
from treasury.bank_files import Statement
from treasury.bank_settling import MATCHED, OPEN, lock, settle
from treasury.bank_tables import BankLine, BankStatement, BankStatementLine
from treasury.bank_views import account_json, line_json, statement_json

FORMATS = (camt.FORMAT, bank_csv.FORMAT)
_AT_ONCE = 1000  # rows of an insert


async def take(
    session: AsyncSession,
    context: Context,
    account_id: str,
    content: str | bytes,
    *,
    format_: str | None = None,
    opening: str | None = None,
    closing: str | None = None,
    by: str,
) -> list[dict[str, Any]]:
    """All statements of a file, or none. One that is there already is shown again.

    format_ None: XML is camt.053, else CSV. opening, closing: for a CSV without balances, as text
    in major units. Raises Invalid `unknown_account`, `unreadable_statement`, `wrong_account`,
    `statement_does_not_add_up`, `balances_required`, `no_mapping`; Conflict `statement_differs`,
    `statement_too_old`.
    """
    account = context.banks.get(account_id)
    if account is None:
        known = ", ".join(context.banks) or "none is"
        detail = f"is not configured: {known} (banks.<id> of bezant.toml)"
        raise Invalid.of("account", detail, code="unknown_account")
    found = read(content, account, format_, opening, closing)
    for statement in found:
        bank_files.check(statement, account.asset)
    await lock(session, account.id)
    rows: list[BankStatement] = []
    fresh: set[UUID] = set()
    for statement in sorted(found, key=_order):
        row, new = await _store(session, context, account, statement, by)
        rows.append(row)
        fresh |= new
    await settle(session, context, account.id, fresh)
    return await _shown(session, rows)


def read(
    content: str | bytes,
    account: BankAccount,
    format_: str | None,
    opening: str | None,
    closing: str | None,
) -> list[Statement]:
    """Raises Invalid, see `take`."""
    if format_ is None:
        head = (
            content[:100] if isinstance(content, bytes) else content[:100].encode(errors="replace")
        )
        is_xml = head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<")
        format_ = camt.FORMAT if is_xml else bank_csv.FORMAT
    if format_ == camt.FORMAT:
        return camt.read(content, account)
    return [bank_csv.read(content, account, opening, closing)]


def _order(statement: Statement) -> tuple[Any, ...]:
    return statement.closed_on, statement.sequence or 0, statement.opened_on


async def _store(
    session: AsyncSession, context: Context, account: BankAccount, given: Statement, by: str
) -> tuple[BankStatement, set[UUID]]:
    """Its row, and the lines that no statement before had."""
    digest = bank_files.digest(given)
    query = select(BankStatement).where(
        BankStatement.account == account.id, BankStatement.number == given.number
    )
    known = (await session.scalars(query)).one_or_none()
    if known is not None:
        if known.digest != digest:
            detail = f"statement {given.number} was taken in with other content"
            raise Conflict(detail, code="statement_differs")
        return known, set()
    first = await _first(session, account.id)
    if first is not None and given.closed_on < first.opened_on:
        detail = (
            f"the books of {account.id} begin with {first.opened_on}, this statement ends on"
            f" {given.closed_on}"
        )
        raise Conflict(detail, code="statement_too_old")
    row = BankStatement(
        id=ids.new(),
        account=account.id,
        asset=account.asset.symbol,
        number=given.number,
        sequence=given.sequence,
        format=given.format,
        opened_on=given.opened_on,
        closed_on=given.closed_on,
        opening=given.opening,
        closing=given.closing,
        digest=digest,
        imported_by=by,
        created_at=context.clock.now(),
    )
    session.add(row)
    await session.flush()
    if first is None and row.opening:
        await post(session, [_begins(row)])
    fresh = await _lines(session, row, given)
    await bank_gaps.check(session, context, row)
    return row, fresh


async def _first(session: AsyncSession, account: str) -> BankStatement | None:
    """With which the books of it began: ids grow with time."""
    query = select(BankStatement).where(BankStatement.account == account)
    return (await session.scalars(query.order_by(BankStatement.id).limit(1))).one_or_none()


def _begins(row: BankStatement) -> Entry:
    """What was there before the first line is the owner's."""
    name = ids.show("bst", row.id)
    return Entry(
        id=ids.new(),
        key=f"bank_opening:{row.account}",
        kind=Kind.OPENING,
        reference=name,
        merchant_id=None,
        evidence={"statement": row.number, "opened_on": row.opened_on.isoformat()},
        posted_at=row.created_at,
        postings=transfer(row.asset, row.opening, debit=bank(row.account), credit=EQUITY),
    )


async def _lines(session: AsyncSession, row: BankStatement, given: Statement) -> set[UUID]:
    """Writes those that are new, and which of all are this statement's. Returns the new ones."""
    keys = bank_files.keys(given.lines)
    values: list[dict[str, Any]] = [
        {
            "id": ids.new(),
            "account": row.account,
            "asset": row.asset,
            "key": key,
            "amount": line.amount,
            "booked_on": line.booked_on,
            "value_on": line.value_on,
            "reference": line.reference,
            "text": line.text,
            "status": OPEN,
            "matched_with": [],
            "matched_by": "",
            "created_at": row.created_at,
        }
        for key, line in zip(keys, given.lines, strict=True)
    ]
    fresh: set[UUID] = set()
    for start in range(0, len(values), _AT_ONCE):
        some = insert(BankLine).values(values[start : start + _AT_ONCE])
        written = some.on_conflict_do_nothing().returning(BankLine.id)
        fresh |= set(await session.scalars(written))
    numbers = {key: n for n, key in enumerate(keys)}
    for start in range(0, len(keys), _AT_ONCE):
        query = select(BankLine.id, BankLine.key).where(
            BankLine.account == row.account, BankLine.key.in_(keys[start : start + _AT_ONCE])
        )
        shows = [
            {"statement_id": row.id, "line_id": id_, "n": numbers[key]}
            for id_, key in await session.execute(query)
        ]
        await session.execute(insert(BankStatementLine).values(shows))
    return fresh


async def page(
    session: AsyncSession, *, account: str | None, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, BankStatement, limit, cursor, account=account)
    return await _shown(session, rows), more


async def show(session: AsyncSession, statement_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await session.get(BankStatement, statement_id) if statement_id else None
    if row is None:
        raise NotFound("no such statement")
    return (await _shown(session, [row]))[0]


async def lines(
    session: AsyncSession,
    *,
    account: str | None,
    statement_id: UUID | None,
    status: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    shown = select(BankStatementLine.line_id).where(BankStatementLine.statement_id == statement_id)
    of_statement = () if statement_id is None else (BankLine.id.in_(shown),)
    rows, more = await page_of(
        session, BankLine, limit, cursor, *of_statement, account=account, status=status
    )
    return [line_json(row) for row in rows], more


async def accounts(session: AsyncSession, context: Context) -> list[dict[str, Any]]:
    """All that are configured, with their balances by the ledger."""
    query = select(AccountBalance.account, AccountBalance.asset, AccountBalance.balance).where(
        AccountBalance.account.in_([bank(id_) for id_ in context.banks])
    )
    found = {(account, asset): balance for account, asset, balance in await session.execute(query)}
    return [
        account_json(one, found.get((bank(one.id), one.asset.symbol), 0))
        for one in context.banks.values()
    ]


async def _shown(session: AsyncSession, rows: Sequence[BankStatement]) -> list[dict[str, Any]]:
    query = (
        select(
            BankStatementLine.statement_id,
            func.count(),
            func.count().filter(BankLine.status == MATCHED),
        )
        .join(BankLine, BankLine.id == BankStatementLine.line_id)
        .where(BankStatementLine.statement_id.in_([row.id for row in rows]))
        .group_by(BankStatementLine.statement_id)
    )
    counts = {id_: (lines, matched) for id_, lines, matched in await session.execute(query)}
    return [statement_json(row, *counts.get(row.id, (0, 0))) for row in rows]
