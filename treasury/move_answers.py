"""What a step learnt from outside, and what it changes of a move's row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import LedgerError
from exchanges.types import TransferStatus, VenueDeposit, VenueWithdrawal
from ledger.journal import post
from ledger.units import coarse
from treasury import move_booking
from treasury.answers import (
    Absent,
    Away,
    NoAnswer,
    Nothing,
    Refusal,
    Unsent,
    absent,
    pause,
    unanswered,
)
from treasury.move_cases import ALLOWED, HELD
from treasury.move_machine import Way
from treasury.move_tables import Move, VenueAddress
from wallets import expected


@dataclass(frozen=True, slots=True)
class Address:
    """Where the venue takes it, by its own answer of this moment."""

    address: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The venue lets this leave to that network."""


@dataclass(frozen=True, slots=True)
class FromBank:
    """The venue has not credited this; `less`: what it did credit, of another amount, which may be
    it."""

    less: VenueDeposit | None


Answer: TypeAlias = (
    Address
    | Allowed
    | FromBank
    | Refusal
    | Unsent
    | NoAnswer
    | Absent
    | Away
    | Nothing
    | VenueDeposit
    | VenueWithdrawal
)


class Overtaken(Exception):
    """What the answer rests on is booked for another move: nothing of it is kept, and it is asked
    anew. Two moves may see one deposit as theirs while a third one of their amount ends."""


async def apply(
    session: AsyncSession, context: Context, row: Move, answer: Answer, now: datetime
) -> datetime | None:
    """Into a locked row, with the entries that follow; when it may be asked again at the soonest.
    `now` is wall time. Raises Overtaken: then the caller's transaction must roll back."""
    match answer:
        case Address(address=address):
            row.address, row.checked = address.lower(), True
            await _remember(session, context, row)
        case Allowed():
            row.checked = True
        case Refusal(reason=reason):
            row.refused = reason
            unanswered(row, now)
        case Unsent(retry_after=seconds):
            row.sends -= 1
            # Of two sends the first one may still be there.
            row.unknown_since = now if row.sends else None
            return pause(seconds, now)
        case NoAnswer():
            unanswered(row, now)
        case Absent():
            absent(row, now)
        case Away(retry_after=seconds):
            if row.sends:
                unanswered(row, now)
            return pause(seconds, now)
        case VenueDeposit() | FromBank():
            await _came(session, context, row, answer)
        case VenueWithdrawal():
            await _taken(session, context, row, answer)
        case Nothing():
            pass
    return None


async def _remember(session: AsyncSession, context: Context, row: Move) -> None:
    """An address that the venue never told before waits for a person, unless the setting trusts
    its word."""
    trusted = not context.moves.hold_new_addresses
    await session.execute(
        insert(VenueAddress)
        .values(
            id=ids.new(),
            venue=row.venue,
            asset=row.asset,
            network=row.network,
            address=row.address,
            status=ALLOWED if trusted else HELD,
            seen_at=context.clock.now(),
            decided_at=context.clock.now() if trusted else None,
            decided_by=None,
        )
        .on_conflict_do_nothing()
    )


async def _came(
    session: AsyncSession, context: Context, row: Move, answer: VenueDeposit | FromBank
) -> None:
    """The venue has credited it, which is booked; or something else, of which a person says whether
    it is this move."""
    asset = context.catalog.asset(row.asset)
    assert asset is not None  # noqa: S101  (it was configured when the move was asked for)
    shown = answer.less if isinstance(answer, FromBank) else answer
    row.venue_id = shown.id if shown else None
    row.venue_status = shown.status.value if shown else None
    if isinstance(answer, FromBank):
        row.shown = coarse(asset, shown.amount + shown.fee)[0] if shown else None
        return
    row.shown = None
    if row.way == Way.FUND:
        row.sent_at = answer.at  # the venue lists it by that time
    entry = move_booking.credited(row, asset, answer, context.clock.now())
    if entry is None:
        return
    posted = await post(session, [entry], repeated=row.way == Way.FUND)
    if entry.id not in posted.new:
        raise Overtaken


async def _taken(
    session: AsyncSession, context: Context, row: Move, shown: VenueWithdrawal
) -> None:
    """The venue shows it: from here on its word says how much is gone."""
    asset = context.catalog.asset(row.asset)
    if asset is None or shown.asset != row.asset:
        raise LedgerError(f"{row.venue} holds another withdrawal under our id")
    told = row.tx_hash
    row.venue_id, row.venue_status = shown.id, shown.status.value
    row.tx_hash, row.blocked = shown.tx_hash, 0
    reference = ids.show("mov", row.id)
    entry = move_booking.taken(row, asset, shown, context.clock.now())
    if entry is not None:
        await post(session, [entry])
    if shown.status is TransferStatus.FAILED:
        await expected.close(session, reference)
    elif shown.tx_hash is not None and shown.tx_hash != told:
        await expected.identify(session, reference, shown.tx_hash, coarse(asset, shown.amount)[0])
