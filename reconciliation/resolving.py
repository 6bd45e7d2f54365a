"""What people do about Breaks: look after one, explain it, or book what is right.

Nothing is corrected without a person's word, and the answer says what was posted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from ledger.breaks import break_json
from ledger.journal import Entry, post
from ledger.tables import BreakRow, PostingRow
from reconciliation import trades
from reconciliation.booking import Resolution, booking, is_late, is_trade, move_of, open_to
from treasury import move_ending
from webhooks.events import NewEvent, emit

_HOLDING = text("""
insert into address_holdings as h (network, address, asset, amount)
values (:network, :address, :asset, :amount)
on conflict (network, address, asset) do update set amount = h.amount + excluded.amount
""")


async def find(session: AsyncSession, break_id: UUID | None, *, lock: bool = False) -> BreakRow:
    """Raises NotFound."""
    query = select(BreakRow).where(BreakRow.id == break_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.scalars(query)).one_or_none() if break_id else None
    if row is None:
        raise NotFound("no such break")
    return row


async def shown(
    session: AsyncSession, context: Context, rows: Sequence[BreakRow]
) -> list[dict[str, Any]]:
    """As the API shows them, with the resolutions that are open to each, and what was posted
    (debit positive)."""
    posted: defaultdict[UUID, list[dict[str, str]]] = defaultdict(list)
    entries = [row.entry_id for row in rows if row.entry_id is not None]
    if entries:
        query = select(PostingRow).where(PostingRow.entry_id.in_(entries))
        for line in await session.scalars(query.order_by(PostingRow.entry_id, PostingRow.n)):
            posted[line.entry_id].append(_line(context, line))
    now = context.clock.now()
    return [
        {
            **break_json(row, context.catalog, now),
            "posted": posted[row.entry_id] if row.entry_id is not None else [],
            "resolutions": [one.value for one in open_to(row)],
        }
        for row in rows
    ]


def _line(context: Context, line: PostingRow) -> dict[str, str]:
    asset = context.catalog.asset(line.asset)
    amount = str(line.amount) if asset is None else asset.format(line.amount)
    return {"account": line.account, "asset": line.asset, "amount": amount}


async def show(session: AsyncSession, context: Context, break_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    return (await shown(session, context, [await find(session, break_id)]))[0]


async def page(
    session: AsyncSession,
    context: Context,
    *,
    status: str | None,
    kind: str | None,
    place: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more. place: it and all below it."""
    conditions = []
    if place is not None:
        below = BreakRow.place.startswith(f"{place}:", autoescape=True)
        conditions.append((BreakRow.place == place) | below)
    rows, more = await page_of(
        session, BreakRow, limit, cursor, *conditions, status=status, kind=kind
    )
    return await shown(session, context, rows), more


async def acknowledge(
    session: AsyncSession,
    context: Context,
    break_id: UUID | None,
    *,
    owner: str,
    note: str | None = None,
) -> dict[str, Any]:
    """Somebody looks after it; another one may take it over. Raises NotFound, Conflict."""
    row = await find(session, break_id, lock=True)
    if row.status == "resolved":
        raise _resolved(row)
    row.status, row.owner = "acknowledged", owner
    row.acknowledged_at = row.acknowledged_at or context.clock.now()
    if note is not None:
        row.note = note
    await session.flush()
    return (await shown(session, context, [row]))[0]


async def resolve(
    session: AsyncSession,
    context: Context,
    break_id: UUID | None,
    resolution: str,
    note: str,
    *,
    by: str,
) -> dict[str, Any]:
    """Closes it by a person's word. Raises NotFound, Invalid `unknown_resolution`, and Conflict
    `already_resolved`, `not_allowed`, `booked_already`, and of a move that is late
    `not_in_transit` or `transaction_not_final`."""
    if resolution not in set(Resolution):
        known = ", ".join(one.value for one in Resolution)
        raise Invalid.of("resolution", f"is one of {known}", code="unknown_resolution")
    chosen = Resolution(resolution)
    move = move_of(await find(session, break_id)) if chosen is not Resolution.EXPLAINED else None
    if move is not None:
        await move_ending.lock(session, move)
    row = await find(session, break_id, lock=True)
    if row.status == "resolved" and chosen not in open_to(row):
        raise _resolved(row)
    now = context.clock.now()
    if chosen is not Resolution.EXPLAINED:
        await _book(session, context, row, chosen, by=by, note=note)
    row.status, row.resolution, row.note = "resolved", chosen.value, note
    row.resolved_at, row.resolved_by = now, by
    row.owner = row.owner or by
    await session.flush()
    if move is not None:
        await move_ending.end(session, context, move)
    [answer] = await shown(session, context, [row])
    await emit(session, [NewEvent(None, "break.resolved", answer["id"], answer)], now)
    return answer


async def _book(
    session: AsyncSession,
    context: Context,
    row: BreakRow,
    chosen: Resolution,
    *,
    by: str,
    note: str,
) -> None:
    allowed = open_to(row)
    if chosen not in allowed:
        raise Conflict(
            f"this break cannot be resolved by {chosen}: {', '.join(allowed)} are allowed",
            code="not_allowed",
        )
    evidence = {"break": row.key, "resolution": chosen.value, "note": note, "by": by}
    if is_trade(row):
        row.entry_id = await trades.take(session, context, row, evidence)
        return
    name = ids.show("brk", row.id)
    if is_late(row) and (move := move_of(row)) is not None:
        row.entry_id = await move_ending.write_off(
            session, context, move, f"break:{name}", evidence
        )
        return
    found = booking(row)
    assert found is not None and row.asset is not None  # noqa: S101, PT018  (`open_to` looked)
    entry = Entry(
        id=ids.new(),
        key=found.key or f"break:{name}",
        kind=found.kind,
        reference=name,
        merchant_id=None,
        evidence=evidence,
        posted_at=context.clock.now(),
        postings=found.postings(row.asset, chosen),
    )
    await post(session, [entry])
    row.entry_id = entry.id
    if found.holding is not None:
        network, address = found.holding
        values = {
            "network": network,
            "address": address,
            "asset": row.asset,
            "amount": found.amount,
        }
        await session.execute(_HOLDING, values)


def _resolved(row: BreakRow) -> Conflict:
    return Conflict(f"resolved already: {row.resolution}", code="already_resolved")
