"""Lines of a bank account in the books, against what was in transit to it; the rest are Breaks.

Like a block, a statement is what is: `bank:<id>` takes every line as it comes, so that it equals
the account's balance. What a line is, `suspense` waits for: until a move explains it, or a person
decides about its Break. Called with the account's lock, in the transaction that brought news.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.singleton import lock_number
from ledger.accounts import SUSPENSE, bank, transit
from ledger.breaks import BreakKind, Difference
from ledger.journal import Entry, Kind, Posting, post
from ledger.tables import AccountBalance, BreakRow
from treasury.bank_matching import Claim, Match, OpenLine, match
from treasury.bank_tables import BankLine, BankStatement
from treasury.breaks import close_and_tell, open_and_tell
from treasury.move_machine import Way
from treasury.move_tables import Move
from wallets import expected

OPEN, MATCHED, RESOLVED = "open", "matched", "resolved"
OVERDUE = timedelta(days=7)  # a statement of a later day should have shown it


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Lines and moves that are one thing. `rest`: what the lines have more than the moves (less:
    negative), and `rest_account` where that goes."""

    lines: Sequence[BankLine]
    moves: Sequence[tuple[Claim, UUID]]
    by: str = ""
    rest: int = 0
    rest_account: str = ""


async def lock(session: AsyncSession, account: str) -> None:
    """One transaction after the other; until the end of this one."""
    number = lock_number(f"bezant:bank:{account}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})


async def settle(
    session: AsyncSession, context: Context, account: str, fresh: Collection[UUID] = ()
) -> None:
    """Matches what is open. fresh: lines of this import, which no entry knows yet."""
    if account not in context.banks:  # it was, when something was sent to it
        return
    await lock(session, account)
    open_ = await _open_lines(session, account)
    under_way = await claims(session, account)
    outcome = match([_open_line(row) for row in open_.values()], [one for one, _ in under_way])
    moves = {claim.reference: move_id for claim, move_id in under_way}
    found = [_explained(one, open_, moves) for one in outcome.matches]
    await explain(session, context, found, fresh)
    explained = {row.id for one in found for row in one.lines}
    unknown = [row for id_, row in open_.items() if id_ in fresh and id_ not in explained]
    now = context.clock.now()
    await post(session, [_entry(row, [(SUSPENSE, row.amount)], True, {}, now) for row in unknown])
    named: dict[UUID, list[str]] = {row.id: [] for row in unknown} | {
        id_: [*n] for id_, n in outcome.differs.items()
    }
    await open_and_tell(session, context, [_unexplained(open_[id_], n) for id_, n in named.items()])
    taken = {claim.reference for one in outcome.matches for claim in one.claims}
    left = [claim for claim, _ in under_way if claim.reference not in taken]
    await _overdue(session, context, account, left)


async def explain(
    session: AsyncSession,
    context: Context,
    found: Sequence[Explained],
    fresh: Collection[UUID] = (),
) -> None:
    """Posts what lines and moves say together, and closes their Breaks; whoever follows the moves
    hears of it at the commit."""
    now = context.clock.now()
    entries: list[Entry] = []
    closed: list[tuple[str, str]] = []
    for one in found:
        references = [claim.reference for claim, _ in one.moves]
        for row in one.lines:
            sources = _sources(one, row)
            evidence = {"moves": references, "by": one.by or "amounts and names"}
            entries.append(_entry(row, sources, row.id in fresh, evidence, now))
            row.status, row.matched_with = MATCHED, references
            row.matched_by, row.matched_at = one.by, now
            if row.id not in fresh:
                closed.append((line_key(row.id), f"it is {', '.join(references)}"))
        lines = ", ".join(ids.show("bln", row.id) for row in one.lines)
        closed += [(claim_key(reference), f"it is {lines}") for reference in references]
    await post(session, entries)
    await session.flush()
    await close_and_tell(session, context, closed)
    for reference in {claim.reference for one in found for claim, _ in one.moves}:
        await expected.tell(session, reference)


async def claims(session: AsyncSession, account: str) -> list[tuple[Claim, UUID]]:
    """What the books have in transit to an account, with the move's id."""
    query = select(Move).where(
        Move.way == Way.REMIT, Move.destination == bank(account), Move.finished_at.is_(None)
    )
    rows = {transit(row.id): row for row in await session.scalars(query)}
    balances = select(AccountBalance).where(
        AccountBalance.account.in_(rows), AccountBalance.balance > 0
    )
    found: list[tuple[Claim, UUID]] = []
    for left in await session.scalars(balances.execution_options(populate_existing=True)):
        row = rows[left.account]
        if left.asset == row.asset:
            reference = ids.show("mov", row.id)
            claim = Claim(reference=reference, amount=left.balance, on=row.created_at.date())
            found.append((claim, row.id))
    return found


def line_key(line_id: UUID) -> str:
    """Names its Break."""
    return f"bank_line:{ids.show('bln', line_id)}"


def claim_key(reference: str) -> str:
    return f"bank_claim:{reference}"


async def is_decided(session: AsyncSession, line_id: UUID) -> bool:
    """Whether a person has resolved its Break: then the line is his."""
    query = select(BreakRow.id).where(*_decided([line_key(line_id)]))
    return await session.scalar(query) is not None


def _decided(keys: Collection[str]) -> tuple[Any, ...]:
    return BreakRow.key.in_(keys), BreakRow.status == "resolved", BreakRow.resolved_by.is_not(None)


async def _open_lines(session: AsyncSession, account: str) -> dict[UUID, BankLine]:
    """Less those that a person has decided about, which are marked."""
    query = select(BankLine).where(BankLine.account == account, BankLine.status == OPEN)
    query = query.order_by(BankLine.id).execution_options(populate_existing=True)
    found = {row.id: row for row in await session.scalars(query)}
    names = {line_key(id_): id_ for id_ in found}
    decided = select(BreakRow.key).where(*_decided(names))
    for key in await session.scalars(decided):
        found.pop(names[key]).status = RESOLVED
    return found


def _open_line(row: BankLine) -> OpenLine:
    return OpenLine(
        id=row.id, amount=row.amount, on=row.booked_on, text=f"{row.reference} {row.text}"
    )


def _explained(found: Match, rows: dict[UUID, BankLine], moves: dict[str, UUID]) -> Explained:
    return Explained(
        lines=[rows[line.id] for line in found.lines],
        moves=[(claim, moves[claim.reference]) for claim in found.claims],
    )


def _sources(one: Explained, row: BankLine) -> list[tuple[str, int]]:
    """Where a line's money comes from: one line of several moves, or one of several of a move."""
    if len(one.lines) > 1:
        [(_, move_id)] = one.moves
        return [(transit(move_id), row.amount)]
    found = [(transit(move_id), claim.amount) for claim, move_id in one.moves]
    return [*found, (one.rest_account, one.rest)] if one.rest else found


def _entry(
    row: BankLine,
    sources: Sequence[tuple[str, int]],
    is_fresh: bool,
    evidence: dict[str, Any],
    now: datetime,
) -> Entry:
    """One that is known by now leaves `suspense`."""
    name = ids.show("bln", row.id)
    debit = bank(row.account) if is_fresh else SUSPENSE
    return Entry(
        id=ids.new(),
        key=f"bank_line:{name}" if is_fresh else f"bank_line:{name}:matched",
        kind=Kind.BANK,
        reference=name,
        merchant_id=None,
        evidence={"booked_on": row.booked_on.isoformat(), "line": row.key, **evidence},
        posted_at=now,
        postings=(
            Posting(debit, row.asset, row.amount),
            *(Posting(account, row.asset, -amount) for account, amount in sources),
        ),
    )


def _unexplained(row: BankLine, named: list[str]) -> Difference:
    return Difference(
        key=line_key(row.id),
        kind=BreakKind.AMOUNT if named else BreakKind.MISSING_IN_LEDGER,
        place=bank(row.account),
        asset=row.asset,
        expected=0,
        actual=row.amount,
        facts={
            "line": ids.show("bln", row.id),
            "booked_on": row.booked_on.isoformat(),
            "reference": row.reference,
            "text": row.text,
            "names": named,
        },
    )


async def _overdue(
    session: AsyncSession, context: Context, account: str, left: Sequence[Claim]
) -> None:
    """What a statement of a much later day does not show is told of, once."""
    query = select(func.max(BankStatement.closed_on)).where(BankStatement.account == account)
    seen_until = await session.scalar(query)
    if seen_until is None:
        return
    asset = context.banks[account].asset.symbol
    late = [
        Difference(
            key=claim_key(claim.reference),
            kind=BreakKind.TIMING,
            place=f"transit:{claim.reference}",
            asset=asset,
            expected=0,
            actual=claim.amount,
            facts={"move": claim.reference, "bank": account, "seen_until": seen_until.isoformat()},
        )
        for claim in left
        if claim.on + OVERDUE < seen_until
    ]
    decided = select(BreakRow.key).where(*_decided([one.key for one in late]))
    known = set(await session.scalars(decided))
    await open_and_tell(session, context, [one for one in late if one.key not in known])
