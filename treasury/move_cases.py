"""A move with all that is known of it: judged, stored, told.

Called in the transaction that stores an answer, so that the books, the move's state and its events
stand together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from core.context import Context
from core.ids import show
from exchanges.types import TransferStatus
from ledger.accounts import transit
from ledger.journal import post
from ledger.tables import AccountBalance
from treasury import move_booking, move_breaks
from treasury.move_machine import OVER, Facts, Judgement, MoveStatus, Way, Windows, judge
from treasury.move_tables import Move, VenueAddress
from treasury.move_views import move_json
from wallets import expected
from wallets.sweep_facts import TransactionFact
from webhooks.events import NewEvent, emit

HELD, ALLOWED = "held", "allowed"
NOT_OURS = "unknown_wallet"  # the signer's word: it has no such key, and nothing was signed

_TRANSACTION = text("""
select t.status, t.reason, t.tx_hash, t.block_number is not null and t.succeeded
    and not exists (select from transaction_variants v
        where v.tx_hash = t.tx_hash and v.kind = 'cancel') as worked
from transactions t where t.id = :id
""")


@dataclass(slots=True)
class Case:
    """`left`: what is in transit by the books, base units; None: nothing ever was. `chain`: the row
    of its transaction."""

    row: Move
    held: bool
    arrived: bool
    left: int | None
    chain: Any | None

    @property
    def transaction(self) -> TransactionFact | None:
        if self.chain is None:
            return None
        worked = bool(self.chain.worked)
        return TransactionFact(status=self.chain.status, worked=worked, reason=self.chain.reason)

    def facts(self, *, resend_is_safe: bool) -> Facts:
        row, way = self.row, Way(self.row.way)
        booked, left = row.booked > 0, self.left or 0
        arrived = {
            Way.SEND: booked,
            Way.WITHDRAW: self.arrived,
            Way.SHIFT: self.arrived,
            Way.REMIT: booked and left == 0,
            Way.FUND: left > 0 or (booked and left == 0),
        }[way]
        return Facts(
            way=way,
            checked=row.checked,
            held=self.held,
            signs=row.signs,
            short=row.short,
            cancelled=row.cancelled,
            refused=row.refused,
            transaction=self.transaction,
            booked=booked,
            arrived=arrived,
            differs=row.shown is not None or (way in (Way.SEND, Way.FUND) and booked and left != 0),
            returned=self.left == 0 and not booked,
            sends=row.sends,
            sent_at=row.sent_at,
            unknown_since=row.unknown_since,
            resend_is_safe=resend_is_safe,
            absent=row.absent,
            absent_since=row.absent_since,
            absent_at=row.absent_at,
            shown=TransferStatus(row.venue_status) if row.venue_status else None,
            has_hash=row.tx_hash is not None,
            written_off=row.written_off,
            lost=row.lost != 0 and left == 0,
            ended_at=row.ended_at,
        )


async def load(session: AsyncSession, move_id: UUID, *, lock: bool = False) -> Case:
    query = select(Move).where(Move.id == move_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.scalars(query)).one()
    held = False
    if row.way == Way.SEND and row.address is not None:
        found = await session.scalar(select(VenueAddress.status).where(*_named(row)))
        held = found != ALLOWED
    awaits = row.way in (Way.WITHDRAW, Way.SHIFT)
    left = await session.scalar(
        select(AccountBalance.balance).where(
            AccountBalance.account == transit(row.id), AccountBalance.asset == row.asset
        )
    )
    chain = None
    if row.transaction_id is not None:
        chain = (await session.execute(_TRANSACTION, {"id": row.transaction_id})).one_or_none()
    return Case(
        row,
        held,
        awaits and await expected.arrived(session, show("mov", row.id)),
        None if left is None else int(left),
        chain,
    )


def _named(row: Move) -> tuple[Any, ...]:
    return (
        VenueAddress.venue == row.venue,
        VenueAddress.asset == row.asset,
        VenueAddress.network == row.network,
        VenueAddress.address == row.address,
    )


async def advance(
    session: AsyncSession,
    context: Context,
    move_id: UUID,
    windows: Windows,
    *,
    resend_is_safe: bool = False,
    not_before: datetime | None = None,
) -> Judgement:
    """Judges what the caller has changed of a row that it has locked, and stores what follows: its
    state, its Break, its event."""
    await session.flush()
    case = await load(session, move_id, lock=True)
    row, now = case.row, wall()
    before = row.status, row.reason
    await _find(session, context, case)
    if row.told_at is not None and not row.written_off:
        row.written_off = row.way == Way.WITHDRAW and await move_breaks.decided(session, row)
    if case.chain is not None:
        row.tx_hash = case.chain.tx_hash
        if row.way == Way.SHIFT and case.chain.reason == NOT_OURS and not case.chain.worked:
            await by_owner(session, context, row)
            case.chain = None
    if row.way == Way.FUND and case.left:
        row.sent_at = row.sent_at or now
    said = judge(case.facts(resend_is_safe=resend_is_safe), now, windows)
    row.status, row.reason = said.status.value, said.reason
    due_at = said.due_at
    row.due_at = max(due_at, not_before) if due_at and not_before else due_at
    row.leased_until = None
    row.version += 1
    _end(row, said, now, context)
    await session.flush()
    if said.status in OVER or (row.way == Way.FUND and not said.tell):
        await move_breaks.close_for(session, context, row)
    elif said.tell:
        is_news = (row.status, row.reason) != before
        await move_breaks.open_for(session, context, row, case.left or 0, now, again=is_news)
    if (row.status, row.reason) != before:
        await tell(session, context, row, before[0])
    return said


async def _find(session: AsyncSession, context: Context, case: Case) -> None:
    """What was written off has shown up: it is a loss no more."""
    entry = move_booking.found(case.row, case.left or 0, context.clock.now())
    if entry is None:
        return
    await post(session, [entry])
    if case.row.way == Way.WITHDRAW:
        await expected.lose(session, show("mov", case.row.id), lost=case.row.lost > 0)
    case.left = (case.left or 0) + entry.postings[0].amount


async def by_owner(session: AsyncSession, context: Context, row: Move) -> None:
    """Between two places of ours, by a key that is not our signer's: its block will tell."""
    row.signs, row.transaction_id, row.sent_at = False, None, None
    await expected.expect(
        session,
        reference=show("mov", row.id),
        network=str(row.network),
        address=str(row.address),
        asset=row.asset,
        amount=row.amount,
        sender=row.sender,
        now=context.clock.now(),
    )


def _end(row: Move, said: Judgement, now: datetime, context: Context) -> None:
    if said.status not in OVER:  # a fork, or a venue's late word, brings it back
        row.ended_at = row.finished_at = None
        return
    row.ended_at = row.ended_at or now
    row.finished_at = row.finished_at or context.clock.now()
    row.blocked = 0
    if row.way == Way.FUND and not row.booked:  # what looked like it is somebody else's
        row.venue_id = row.venue_status = row.shown = None


async def tell(session: AsyncSession, context: Context, row: Move, before: str) -> None:
    """The house's own event `move.<status>`, or `move.held|unknown` where that is news."""
    what = row.status
    if row.status == before:
        news = {"address_held": "held", "outcome_unknown": "unknown"}
        if row.reason not in news:
            return
        what = news[row.reason]
    elif row.reason == "address_held":
        what = "held"
    shown = move_json(row, context.catalog)
    event = NewEvent(None, f"move.{what}", shown["id"], shown)
    await emit(session, [event], context.clock.now())


def is_over(row: Move) -> bool:
    return MoveStatus(row.status) in OVER
