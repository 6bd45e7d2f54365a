"""What a venue answered, and what it changes in an order's facts. Values and one mutation each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchanges.numbers import show
from exchanges.types import Fill, VenueOrder, VenueOrderStatus
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
from treasury.conversion_tables import Order
from treasury.order_machine import Facts


@dataclass(frozen=True, slots=True)
class Shown:
    """The order as the venue shows it, and all its fills as it lists them now."""

    order: VenueOrder
    fills: tuple[Fill, ...]


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


def apply(row: Order, answer: Answer, now: datetime) -> datetime | None:
    """Changes the facts (fills are booked by `fills.book`). Returns before when nothing should be
    tried again, if the venue is to be left alone."""
    match answer:
        case Unsent(retry_after):
            row.sends -= 1
            if row.sends == 0:
                row.sent_at = None
            else:
                unanswered(row, now)
            return pause(retry_after, now)
        case Refusal(reason):
            row.refused, row.reason = True, reason
            unanswered(row, now)
        case NoAnswer():
            unanswered(row, now)
        case Away(retry_after):
            unanswered(row, now)
            return pause(retry_after, now)
        case Absent():
            absent(row, now)
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
