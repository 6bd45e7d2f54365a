"""What our own moves explain of a venue's deposits and withdrawals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from core.db import Raw
from core.ids import show
from exchanges.types import Venue, VenueDeposit, VenueWithdrawal
from reconciliation import venue_books
from reconciliation.venue_books import Absent, KnownTransfers
from treasury.move_machine import OVER, MoveStatus, Way

# Those that these transfers may be, and those that the venue should have shown by now.
_MOVES = """
select id, way, asset, venue_id, tx_hash, status, booked, booked_fee, bookings, sent_at, due_at
from moves
where venue = %(venue)s and way = any(%(ways)s) and (
    venue_id = any(%(ids)s) or tx_hash = any(%(hashes)s) or status <> all(%(over)s)
    or sent_at >= %(since)s)
"""


INTO = (Way.SEND, Way.FUND)
BY_NETWORK, BY_BANK = (Way.SEND, Way.WITHDRAW), (Way.FUND,)  # which the venue shows one by one


@dataclass(frozen=True, slots=True)
class _Move:
    id: UUID
    way: str
    asset: str
    venue_id: str | None
    tx_hash: str | None
    status: str
    booked: int
    booked_fee: int
    bookings: int
    sent_at: datetime | None
    due_at: datetime | None

    @property
    def direction(self) -> str:
        return "deposit" if self.way in INTO else "withdrawal"

    @property
    def effect(self) -> int:
        """On our account at the venue, as far as it is booked."""
        return self.booked if self.way in INTO else -(self.booked + self.booked_fee)

    @property
    def is_watched(self) -> bool:
        """Whether it will book by itself what shows up: also one that failed, or was written off,
        for a while."""
        is_failed = self.status == MoveStatus.FAILED
        return self.status not in set(OVER) or (is_failed and self.due_at is not None)

    @property
    def client_ids(self) -> set[str]:
        return {show("mov", self.id), self.id.hex, str(self.id)}


async def known(
    connection: Raw,
    venue: Venue,
    deposits: Sequence[VenueDeposit],
    withdrawals: Sequence[VenueWithdrawal],
    since: datetime,
    ways: Collection[Way] = BY_NETWORK,
    from_banks: Collection[str] = (),
) -> KnownTransfers:
    """Transfers that were booked one by one, and those that a move of ours is, of these ways.
    from_banks: ids of deposits that moves wait for, which amounts tell."""
    both: list[VenueDeposit | VenueWithdrawal] = [*deposits, *withdrawals]
    values = {
        "venue": venue.value,
        "ways": [way.value for way in ways],
        "ids": [one.id for one in both],
        "hashes": [one.tx_hash for one in both if one.tx_hash is not None],
        "over": [status.value for status in OVER],
        "since": since,
    }
    booked = await venue_books.booked(connection, venue, deposits, withdrawals)
    corrected = await venue_books.corrections(connection, venue)
    async with connection.cursor(row_factory=class_row(_Move)) as cursor:
        moves = await (await cursor.execute(_MOVES, values)).fetchall()
    awaited = {f"deposit:{number}" for number in from_banks}
    shown: set[UUID] = set()
    for one in both:
        move = _of(one, moves)
        if move is None:
            continue
        shown.add(move.id)
        name = f"{move.direction}:{one.id}"
        # Its corrections (a fee that was told late, a failure) have keys of their own.
        if move.bookings > 1 or (name not in booked and move.effect):
            booked[name] = move.effect + corrected.get(name, 0)
        if move.is_watched:
            awaited.add(name)
    absent = []
    for m in moves:
        name = f"{m.direction}:{m.venue_id or show('mov', m.id)}"
        effect = m.effect + corrected.get(name, 0)
        if m.id not in shown and effect and m.sent_at is not None and m.sent_at >= since:
            absent.append(Absent(name, m.direction, m.asset, effect, m.sent_at))
    return KnownTransfers(booked, absent, frozenset(awaited))


def _of(one: VenueDeposit | VenueWithdrawal, moves: Sequence[_Move]) -> _Move | None:
    """By the venue's id, by our own, or by the transaction that carries it."""
    into = isinstance(one, VenueDeposit)
    mine = [m for m in moves if (m.way in INTO) == into]
    ours = one.client_id if isinstance(one, VenueWithdrawal) else None
    for move in mine:
        if move.venue_id == one.id or (ours is not None and ours in move.client_ids):
            return move
    if one.tx_hash is None:
        return None
    return next((m for m in mine if m.venue_id is None and m.tx_hash == one.tx_hash), None)
