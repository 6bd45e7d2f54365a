"""Executions that a person takes into the books as the venue shows them: made by hand in the
venue's own app, or booked otherwise than the venue tells them now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.errors import Conflict, LedgerError
from exchanges.types import Fill, Side
from ledger.breaks import BreakKind
from ledger.journal import Entry, Kind, Posting, post
from ledger.tables import BreakRow
from treasury import conversion_cases
from treasury.conversion_orders import Limits
from treasury.conversion_tables import FillRow, Order
from treasury.fills import book, postings

# All that the books have of one execution by now, with what was corrected of it.
_STANDING = text("""
select account, asset, sum(amount) as amount from postings
where entry_id in (
    select entry_id from fills where venue = :venue and symbol = :symbol and fill_id = :fill
    union select entry_id from breaks where key = :key and entry_id is not null
)
group by account, asset
""")


async def take(
    session: AsyncSession, context: Context, row: BreakRow, evidence: dict[str, Any]
) -> UUID:
    """The entry that makes the books say of this execution what the Break says that the venue does.

    Raises Conflict `booked_already`: it came into the books since.
    """
    fill, venue = read(row.facts), row.facts["venue"]
    if row.kind == BreakKind.MISSING_IN_LEDGER and await _row(session, venue, fill) is None:
        return await _book(session, context, venue, fill)
    gone = row.kind == BreakKind.MISSING_AT_VENUE
    wanted = () if gone else postings(context.catalog, venue, fill)
    values = {"venue": venue, "symbol": fill.symbol, "fill": fill.id, "key": row.key}
    rows = await session.execute(_STANDING, values)
    standing = [Posting(one.account, one.asset, int(one.amount)) for one in rows]
    name = ids.show("brk", row.id)
    entry = Entry(
        id=ids.new(),
        key=f"break:{name}",
        kind=Kind.BREAK_RESOLVED,
        reference=name,
        merchant_id=None,
        evidence=evidence,
        posted_at=context.clock.now(),
        postings=lacking(wanted, standing),
    )
    if not entry.postings:
        raise _booked()
    await post(session, [entry])
    return entry.id


def read(facts: Mapping[str, Any]) -> Fill:
    """What `FillFacts` tell of."""
    return Fill(
        id=facts["fill"],
        venue_id=facts["order"],
        symbol=facts["symbol"],
        side=Side(facts["side"]),
        price=int(facts["price"]),
        quantity=int(facts["quantity"]),
        quote_quantity=int(facts["quote_quantity"]),
        fee=int(facts["fee"]),
        fee_asset=facts["fee_asset"],
        at=datetime.fromisoformat(facts["at"]),
    )


def lacking(
    wanted: tuple[Posting, ...] | list[Posting], standing: tuple[Posting, ...] | list[Posting]
) -> tuple[Posting, ...]:
    """What must be posted for the books to say `wanted` where they say `standing`."""
    sums: Counter[tuple[str, str]] = Counter()
    for line in wanted:
        sums[line.account, line.asset] += line.amount
    for line in standing:
        sums[line.account, line.asset] -= line.amount
    return tuple(Posting(*place, amount) for place, amount in sorted(sums.items()) if amount)


async def _book(session: AsyncSession, context: Context, venue: str, fill: Fill) -> UUID:
    """One whose order is ours, and was not watched any more, counts for its conversion."""
    query = select(Order).where(Order.venue == venue, Order.venue_id == fill.venue_id)
    ours = (await session.scalars(query)).one_or_none()
    try:
        if ours is None:
            new = await book(session, context, venue, [fill], None)
        else:
            case = await conversion_cases.lock(session, ours.conversion_id)
            new = await book(session, context, venue, [fill], case.order(ours.id))
            case.order(ours.id).version += 1
            await conversion_cases.advance(session, context, case, wall(), Limits())
    except LedgerError as error:
        raise _booked() from error
    if not new:
        raise _booked()
    stands = await _row(session, venue, fill)
    assert stands is not None  # noqa: S101  (`book` made it)
    return stands.entry_id


async def _row(session: AsyncSession, venue: str, fill: Fill) -> FillRow | None:
    return await session.get(FillRow, (venue, fill.symbol, fill.id))


def _booked() -> Conflict:
    return Conflict(
        "it came into the books since: the next reconciliation closes this break",
        code="booked_already",
    )
