"""What a venue answered, and what it changes in an order's facts. Values and one mutation each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from exchanges.numbers import show
from exchanges.types import Fill, VenueOrder, VenueOrderStatus
from treasury.conversion_tables import Order
from treasury.order_machine import Facts

AGAIN_SECONDS = 1  # after a venue that does nothing now
# However long a venue wants to be left alone, which its adapter sees to (a ban may last for days):
# a quote's end frees its funds, and a person is told of what is unknown.
LONGEST_PAUSE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Unsent:
    """The venue did nothing: it may be sent again."""

    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Final: the venue did nothing and says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Whether it was done is not known."""


@dataclass(frozen=True, slots=True)
class Away:
    """A question was not answered: nothing new is known."""

    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Absent:
    """The venue shows no order of this id."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The order as the venue shows it, and all its fills as it lists them now."""

    order: VenueOrder
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody was asked: time alone has passed."""


Answer = Unsent | Refusal | NoAnswer | Away | Absent | Shown | Nothing


def facts_of(row: Order, *, resend_returns_original: bool) -> Facts:
    """All that the order machine judges by."""
    status = row.venue_status
    return Facts(
        quantity=row.quantity,
        send_until=row.send_until,
        resend_returns_original=resend_returns_original,
        sends=row.sends,
        sent_at=row.sent_at,
        refused=row.refused,
        unknown_since=row.unknown_since,
        absent=row.absent,
        absent_since=row.absent_since,
        absent_at=row.absent_at,
        venue_status=VenueOrderStatus(status) if status is not None else None,
        venue_filled=row.venue_filled,
        booked=row.booked,
        differs=row.differs is not None,
        written_off=row.written_off,
        ended_at=row.ended_at,
    )


def leave(row: Order, now: datetime) -> None:
    """It is about to be sent, perhaps once more: what was waited for begins anew."""
    row.sends += 1
    row.sent_at = row.sent_at or now
    row.unknown_since = None
    row.absent, row.absent_since, row.absent_at = 0, None, None


def apply(row: Order, answer: Answer, now: datetime) -> datetime | None:
    """Changes the facts (fills are booked by `fills.book`). Returns before when nothing should be
    tried again, if the venue is to be left alone."""
    match answer:
        case Unsent(retry_after):
            row.sends -= 1
            if row.sends == 0:
                row.sent_at = None
            else:
                row.unknown_since = row.unknown_since or now
            return _pause(retry_after, now)
        case Refusal(reason):
            row.refused, row.reason = True, reason
            row.unknown_since = row.unknown_since or now
        case NoAnswer():
            row.unknown_since = row.unknown_since or now
        case Away(retry_after):
            row.unknown_since = row.unknown_since or now
            return _pause(retry_after, now)
        case Absent():
            row.unknown_since = row.unknown_since or now
            row.absent += 1
            row.absent_since = row.absent_since or now
            row.absent_at = now
        case Shown(order):
            row.venue_id = order.venue_id
            row.venue_status = order.status.value
            row.venue_filled = max(row.venue_filled, order.filled)
            row.differs = _difference(row, order)
            row.reason = order.reason or row.reason
        case Nothing():
            pass
    return None


def _difference(row: Order, order: VenueOrder) -> str | None:
    """How the order under our id is not the one that we sent."""
    pairs: tuple[tuple[str, str, str], ...] = (
        ("client id", row.client_id, order.client_id),
        ("symbol", row.symbol, order.symbol),
        ("side", row.side, order.side.value),
        ("quantity", show(row.quantity), show(order.quantity)),
        ("price", show(row.limit_price), show(order.price)),
    )
    found = [f"{name} {theirs}, sent {ours}" for name, ours, theirs in pairs if ours != theirs]
    return "; ".join(found) or None


def _pause(retry_after: int | None, now: datetime) -> datetime:
    seconds = AGAIN_SECONDS if retry_after is None else min(retry_after, LONGEST_PAUSE_SECONDS)
    return now + timedelta(seconds=seconds)
