"""Lines of a bank account in the books, against what was under way; the rest are Breaks.

Like a block, a statement is what is: `bank:<id>` takes every line as it comes, so that it equals
the account's balance. What a line is, `suspense` waits for: until a move explains it, or a person
decides about its Break. Lines out are looked at first: a payout must have left before it can come
back. Called with the account's lock, in the transaction that brought news.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.singleton import lock_number
from ledger.accounts import SUSPENSE, bank, under_way
from ledger.breaks import BreakKind, Difference
from ledger.journal import Entry, Kind, Posting, post
from ledger.tables import BreakRow
from treasury import bank_claims
from treasury.bank_matching import Claim, OpenLine, Outcome, match
from treasury.bank_tables import BankLine, BankStatement
from treasury.breaks import close_and_tell, open_and_tell
from wallets import expected

OPEN, MATCHED, RESOLVED = "open", "matched", "resolved"
OVERDUE = timedelta(days=7)  # a statement of a later day should have shown it


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Lines and claims that are one thing. `rest`: what the lines have more than the claims (less:
    negative), and `rest_account` where that goes."""

    lines: Sequence[BankLine]
    claims: Sequence[Claim]
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
    lines_out = [row for row in open_.values() if row.amount < 0]
    asset = context.banks[account].asset.symbol
    payouts = await bank_claims.payouts(session, account, asset)
    leaving = [*payouts, *await bank_claims.leaving(session, account)]
    out = await _matched(session, context, lines_out, leaving, fresh)
    rest = [row for row in open_.values() if row.status == OPEN and row.id not in out.differs]
    arriving = await bank_claims.moves(session, account)
    texts = [_open_line(row).text for row in rest]
    returned = await bank_claims.returned(session, context, asset, texts)
    come = await _matched(session, context, rest, [*arriving, *returned], fresh)
    unknown = [row for row in open_.values() if row.id in fresh and row.status == OPEN]
    now = context.clock.now()
    await post(session, [_entry(row, [(SUSPENSE, row.amount)], True, {}, now) for row in unknown])
    named: dict[UUID, list[str]] = {row.id: [] for row in unknown} | {
        id_: [*n] for id_, n in (out.differs | come.differs).items()
    }
    await open_and_tell(session, context, [_unexplained(open_[id_], n) for id_, n in named.items()])
    taken = {claim.reference for one in (*out.matches, *come.matches) for claim in one.claims}
    waited = [one for one in (*leaving, *arriving) if one.is_due and not one.by_name]
    left = [claim for claim in waited if claim.reference not in taken]
    await _overdue(session, context, account, left)


async def _matched(
    session: AsyncSession,
    context: Context,
    rows: Sequence[BankLine],
    claims: Sequence[Claim],
    fresh: Collection[UUID],
) -> Outcome:
    """What is one thing by name or amount, and explained by that."""
    by_id = {row.id: row for row in rows}
    outcome = match([_open_line(row) for row in rows], claims)
    found = [
        Explained(lines=[by_id[line.id] for line in one.lines], claims=one.claims)
        for one in outcome.matches
    ]
    await explain(session, context, found, fresh)
    return outcome


async def explain(
    session: AsyncSession,
    context: Context,
    found: Sequence[Explained],
    fresh: Collection[UUID] = (),
) -> None:
    """Posts what lines and claims say together, and closes their Breaks; whoever follows a move
    hears of it at the commit, and payouts are paid, or came back, in this transaction."""
    # Payouts are locked before any account is, as whoever else changes them does it.
    await bank_claims.pay(session, context, [(one.lines, one.claims) for one in found])
    now = context.clock.now()
    entries: list[Entry] = []
    closed: list[tuple[str, str]] = []
    for one in found:
        references = [claim.reference for claim in one.claims]
        for row in one.lines:
            sources = _sources(one, row)
            evidence = {"explained_by": references, "by": one.by or "amounts and names"}
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
    for one in found:
        for claim in one.claims:
            if ids.read("mov", claim.reference):
                await expected.tell(session, claim.reference)


async def give_up(session: AsyncSession, context: Context, reference: str) -> None:
    """No statement will show it."""
    await close_and_tell(session, context, [(claim_key(reference), "it was cancelled")])


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


def _sources(one: Explained, row: BankLine) -> list[tuple[str, int]]:
    """Where a line's money comes from: one line of several claims, or one of several of a claim."""
    if len(one.lines) > 1:
        [claim] = one.claims
        return [(under_way(claim.reference), row.amount)]
    found = [(under_way(claim.reference), claim.amount) for claim in one.claims]
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
        _late(claim, account, asset, seen_until)
        for claim in left
        if claim.on + OVERDUE < seen_until
    ]
    decided = select(BreakRow.key).where(*_decided([one.key for one in late]))
    known = set(await session.scalars(decided))
    await open_and_tell(session, context, [one for one in late if one.key not in known])


def _late(claim: Claim, account: str, asset: str, seen_until: date) -> Difference:
    """A move stands in transit and should not; it or a payout should have left the account."""
    leaves = claim.amount < 0 and not claim.credited
    return Difference(
        key=claim_key(claim.reference),
        kind=BreakKind.TIMING,
        place=bank(account) if leaves else under_way(claim.reference),
        asset=asset,
        expected=claim.amount if leaves else 0,
        actual=0 if leaves else claim.amount,
        facts={
            "move" if ids.read("mov", claim.reference) else "payout": claim.reference,
            "bank": account,
            "seen_until": seen_until.isoformat(),
        },
    )
