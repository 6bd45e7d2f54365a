"""Moves from banks to a venue, as far as the books know them, against what the venue shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from exchanges.types import Venue, VenueDeposit
from ledger.accounts import transit
from ledger.breaks import BreakKind
from ledger.tables import AccountBalance, BreakRow, JournalEntry
from ledger.units import fine
from treasury import move_breaks
from treasury.funding import Found, Funding, match
from treasury.move_machine import Way
from treasury.move_tables import Move


async def in_transit(session: AsyncSession, rows: Collection[Move]) -> dict[UUID, int]:
    """Base units that the books have between two places: below zero what arrived and did not leave
    yet. Moves that were never there are left out."""
    accounts = {transit(row.id): row for row in rows}
    query = select(AccountBalance).where(AccountBalance.account.in_(accounts))
    query = query.execution_options(populate_existing=True)
    found = await session.scalars(query)
    return {
        accounts[one.account].id: one.balance
        for one in found
        if one.asset == accounts[one.account].asset
    }


async def find(
    session: AsyncSession, context: Context, venue: Venue, shown: Sequence[VenueDeposit]
) -> Found:
    """What a venue has credited of all that waits for it there. shown: all deposits from banks that
    it lists, since before those were asked for."""
    # In this order: a deposit that is booked meanwhile for another move is not up for this one.
    moves = await waiting(session, context, venue)
    keys = {f"venue_transfer:{venue}:deposit:{one.id}": one for one in shown}
    query = select(JournalEntry.key).where(JournalEntry.key.in_(keys))
    booked = set(await session.scalars(query))
    return match(moves, [one for key, one in keys.items() if key not in booked])


async def waiting(session: AsyncSession, context: Context, venue: Venue) -> list[Funding]:
    """Those that the venue has not credited, without what has come back to the bank: that is over,
    even while nobody has looked at it yet."""
    query = select(Move).where(
        Move.way == Way.FUND,
        Move.venue == venue.value,
        Move.finished_at.is_(None),
        Move.booked == 0,
    )
    rows = list(await session.scalars(query))
    left = await in_transit(session, rows)
    declined = await _declined(session, rows)
    found: list[Funding] = []
    for row in rows:
        if left.get(row.id) == 0:
            continue
        asset = context.catalog.asset(row.asset)
        assert asset is not None  # noqa: S101  (it was configured when the move was asked for)
        found.append(
            Funding(
                id=row.id,
                asset=row.asset,
                amount=fine(asset, left.get(row.id) or row.amount),
                asked_at=row.created_at - context.clock.offset,  # venues know wall time alone
                has_left=left.get(row.id, 0) > 0,
                declined=row.id in declined,
            )
        )
    return found


async def _declined(session: AsyncSession, rows: Sequence[Move]) -> set[UUID]:
    """Those of which a person has explained another amount, and booked nothing."""
    keys = {move_breaks.key(row): row.id for row in rows}
    query = select(BreakRow.key).where(
        BreakRow.key.in_(keys),
        BreakRow.kind == BreakKind.AMOUNT,
        BreakRow.status == "resolved",
        BreakRow.resolved_by.is_not(None),
        BreakRow.entry_id.is_(None),
    )
    return {keys[key] for key in await session.scalars(query)}
