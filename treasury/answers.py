"""What a venue's answer to a call or a question comes to, whatever it was about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

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
    """The venue shows nothing under our id."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody was asked: time alone has passed."""


class Asked(Protocol):
    """What a row remembers of its calls: see the machines' facts."""

    sends: int
    sent_at: datetime | None
    unknown_since: datetime | None
    absent: int
    absent_since: datetime | None
    absent_at: datetime | None


class Counted(Protocol):
    """Questions in a row that found nothing: how many, the first and the last."""

    @property
    def absent(self) -> int: ...
    @property
    def absent_since(self) -> datetime | None: ...
    @property
    def absent_at(self) -> datetime | None: ...


def is_absent(facts: Counted, *, times: int, over: timedelta) -> bool:
    """Often enough, over a time that is long enough."""
    if facts.absent < times or facts.absent_since is None or facts.absent_at is None:
        return False
    return facts.absent_at - facts.absent_since >= over


def leave(row: Asked, now: datetime) -> None:
    """It is about to be sent, perhaps once more: what was waited for begins anew."""
    row.sends += 1
    row.sent_at, row.unknown_since = row.sent_at or now, None
    row.absent, row.absent_since, row.absent_at = 0, None, None


def unanswered(row: Asked, now: datetime) -> None:
    """No call of ours is under way, and none told the outcome."""
    row.unknown_since = row.unknown_since or now


def absent(row: Asked, now: datetime) -> None:
    """One more question in a row that found nothing."""
    unanswered(row, now)
    row.absent += 1
    row.absent_since, row.absent_at = row.absent_since or now, now


def pause(retry_after: int | None, now: datetime) -> datetime:
    """Before when a venue is not asked again about this."""
    seconds = AGAIN_SECONDS if retry_after is None else min(retry_after, LONGEST_PAUSE_SECONDS)
    return now + timedelta(seconds=seconds)
