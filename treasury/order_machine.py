"""One pure function: all facts of an order -> its state, what to do next, and when (VENUES 2).

The venues need opposite recoveries. Binance knows a client id among open orders only: an order is
never sent twice, and counts as refused when it was not shown for long enough after the last moment
that its engine could have taken it. Coinbase answers a known id with the first order: sending it
again, once and while the quote's price stands, is the proof. What neither proves stays unknown
until it shows or a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from exchanges.types import VenueOrderStatus
from treasury.answers import is_absent


class OrderStatus(StrEnum):
    """How far an order is known to be."""

    PREPARED = "prepared"
    """Stored, not sent."""
    SENT = "sent"
    """The call may be under way."""
    UNKNOWN = "unknown"
    """It was sent, and nobody can say what became of it."""
    OPEN = "open"
    """The venue shows it; not all that it says was executed is in the books yet."""
    FILLED = "filled"
    """All of it was executed and is in the books."""
    CANCELLED = "cancelled"
    """It ended with less, which is in the books; or it was never sent."""
    REFUSED = "refused"
    """It never entered the venue's book."""


ENDED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REFUSED})


class Action(StrEnum):
    """What a step does next."""

    PLACE = "place"
    """Store that it leaves, then send it."""
    ASK = "ask"
    """Ask for the order by our id, and for its fills."""
    REST = "rest"
    """Nothing, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long what is waited for. `receive`: how late a venue accepts a request (recvWindow);
    `engine`: how long its engine may work on it; `polling`: over which time it must be absent, and
    `absent` times at least; `questions` of them where that alone is the proof: a clock that is set
    forward makes no time pass, and so many questions take as long as the windows do. After `tell`
    a person is told. `soonest` and `latest`: between two questions. `watch`: how long an order
    that ended is looked at for late fills."""

    receive: timedelta = timedelta(seconds=10)
    engine: timedelta = timedelta(seconds=10)
    polling: timedelta = timedelta(seconds=60)
    absent: int = 3
    questions: int = 24
    tell: timedelta = timedelta(seconds=120)
    soonest: timedelta = timedelta(milliseconds=250)
    latest: timedelta = timedelta(seconds=5)
    watch: timedelta = timedelta(days=1)
    watch_soonest: timedelta = timedelta(seconds=5)
    watch_latest: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of an order; times are wall time, quantities base.

    `sends`: how often it may have left. `unknown_since`: since when no call of ours is under way
    and none told the outcome. `absent`: questions in a row that found nothing, the first and the
    last of them. `refused`: the venue's own word to the last send. `venue_status`,
    `venue_filled`: what it shows; `booked`: the fills in the books. `differs`: it shows another
    order under our id. `written_off`: a person said that it is not there.
    """

    quantity: int
    send_until: datetime
    resend_returns_original: bool
    sends: int = 0
    sent_at: datetime | None = None
    refused: bool = False
    unknown_since: datetime | None = None
    absent: int = 0
    absent_since: datetime | None = None
    absent_at: datetime | None = None
    venue_status: VenueOrderStatus | None = None
    venue_filled: int = 0
    booked: int = 0
    differs: bool = False
    written_off: bool = False
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`due_at` None: nothing is due. `tell`: a person must know. `dead`: that it is not there is
    somebody's word and no proof, so that nothing may take its place."""

    status: OrderStatus
    action: Action
    due_at: datetime | None
    tell: bool = False
    dead: bool = False


def decide(facts: Facts, now: datetime, windows: Windows) -> Decision:
    """Nothing is remembered: the same facts at the same time give the same."""
    if facts.venue_status is not None:
        return _shown(facts, facts.venue_status, now, windows)
    if facts.refused and facts.sends == 1:
        return _ended(OrderStatus.REFUSED, facts, now, windows)
    if facts.sends == 0:
        if now >= facts.send_until:
            return Decision(OrderStatus.CANCELLED, Action.REST, None)
        return Decision(OrderStatus.PREPARED, Action.PLACE, now)
    if facts.written_off:
        return _ended(OrderStatus.REFUSED, facts, now, windows, dead=True)
    if facts.unknown_since is None:
        return Decision(OrderStatus.SENT, Action.ASK, now)
    return _unknown(facts, facts.unknown_since, now, windows)


def _shown(facts: Facts, status: VenueOrderStatus, now: datetime, windows: Windows) -> Decision:
    since = facts.sent_at or now
    late = now >= since + windows.tell
    if facts.differs:
        if facts.written_off:
            return _ended(OrderStatus.CANCELLED, facts, now, windows, dead=True)
        due = _next(since, now, windows.soonest, windows.latest)
        return Decision(OrderStatus.UNKNOWN, Action.ASK, due, tell=True)
    agree = status is not VenueOrderStatus.OPEN and facts.booked == facts.venue_filled
    if not agree and facts.ended_at is None and not facts.written_off:
        # It may still fill, or its word and its fills differ: neither proves the end.
        due = _next(since, now, windows.soonest, windows.latest)
        return Decision(OrderStatus.OPEN, Action.ASK, due, tell=late)
    if facts.booked >= facts.quantity:
        return Decision(OrderStatus.FILLED, Action.REST, None)
    if not agree and facts.written_off:
        return _ended(OrderStatus.CANCELLED, facts, now, windows, dead=True)
    if status is VenueOrderStatus.REFUSED and facts.booked == 0:
        return _ended(OrderStatus.REFUSED, facts, now, windows)
    return _ended(OrderStatus.CANCELLED, facts, now, windows)


def _unknown(facts: Facts, since: datetime, now: datetime, windows: Windows) -> Decision:
    absent = is_absent(facts, times=windows.absent, over=windows.polling)
    if facts.resend_returns_original:
        if absent and facts.sends == 1 and now < facts.send_until:
            return Decision(OrderStatus.UNKNOWN, Action.PLACE, now)
        if absent and facts.refused:  # as new, and the first one never showed
            return _ended(OrderStatus.REFUSED, facts, now, windows, dead=True)
    elif absent and facts.absent_at is not None:
        last_moment = since + windows.receive + windows.engine
        asked = facts.absent >= windows.questions
        if asked and facts.absent_at >= last_moment + windows.polling:
            return _ended(OrderStatus.REFUSED, facts, now, windows)
    due = _next(since, now, windows.soonest, windows.latest)
    return Decision(OrderStatus.UNKNOWN, Action.ASK, due, tell=now >= since + windows.tell)


def _ended(
    status: OrderStatus, facts: Facts, now: datetime, windows: Windows, *, dead: bool = False
) -> Decision:
    """It is watched for late fills, ever more rarely."""
    ended_at = facts.ended_at or now
    if now >= ended_at + windows.watch:
        return Decision(status, Action.REST, None, dead=dead)
    due = _next(ended_at, now, windows.watch_soonest, windows.watch_latest)
    return Decision(status, Action.ASK, due, dead=dead)


def _next(since: datetime, now: datetime, soonest: timedelta, latest: timedelta) -> datetime:
    """The longer it lasts the rarer the questions: after half of what has passed."""
    return now + min(max((now - since) / 2, soonest), latest)
