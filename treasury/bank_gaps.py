"""Whether an account's statements follow each other: what is between two is missing money."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core import ids
from core.context import Context
from ledger.accounts import bank
from ledger.breaks import BreakKind, Difference
from treasury.bank_tables import BankLine, BankStatement, BankStatementLine
from treasury.breaks import close_and_tell, open_and_tell


def key(row: BankStatement) -> str:
    """Names the gap before a statement."""
    return f"bank_gap:{ids.show('bst', row.id)}"


async def check(session: AsyncSession, context: Context, new: BankStatement) -> None:
    """Both sides of a statement that was taken in: it may close a gap."""
    query = select(BankStatement).where(BankStatement.account == new.account)
    order = (
        BankStatement.closed_on,
        func.coalesce(BankStatement.sequence, 0),
        BankStatement.opened_on,
        BankStatement.id,
    )
    rows = list(await session.scalars(query.order_by(*order)))
    here = [row.id for row in rows].index(new.id)
    for n in range(max(here, 1), min(here + 2, len(rows))):
        await _between(session, context, rows[n - 1], rows[n])


async def _between(
    session: AsyncSession, context: Context, before: BankStatement, after: BankStatement
) -> None:
    """Where two overlap, what both show has happened before the later one's part."""
    begins = after.opening + await _shared(session, before, after)
    if begins == before.closing:
        said = f"statement {before.number} leads to it"
        await close_and_tell(session, context, [(key(after), said)])
        return
    difference = Difference(
        key=key(after),
        kind=BreakKind.AMOUNT,
        place=bank(after.account),
        asset=after.asset,
        expected=before.closing,
        actual=begins,
        facts={
            "statement": ids.show("bst", after.id),
            "number": after.number,
            "sequence": after.sequence,
            "opened_on": after.opened_on.isoformat(),
            "before": ids.show("bst", before.id),
            "number_before": before.number,
            "sequence_before": before.sequence,
            "closed_on": before.closed_on.isoformat(),
        },
    )
    await open_and_tell(session, context, [difference])


async def _shared(session: AsyncSession, one: BankStatement, other: BankStatement) -> int:
    """Sum of the lines that both show."""
    first, second = aliased(BankStatementLine), aliased(BankStatementLine)
    query = (
        select(func.coalesce(func.sum(BankLine.amount), 0))
        .join(first, first.line_id == BankLine.id)
        .join(second, second.line_id == BankLine.id)
        .where(first.statement_id == one.id, second.statement_id == other.id)
    )
    return int(await session.scalar(query) or 0)
