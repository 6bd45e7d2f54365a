"""What makes a feed's round acceptable: one pure function (MONEY 4).

Times are unix seconds. The rules that MONEY leaves open:

In the future. A block may carry a time a little ahead of our clock; execution clients accept up
to 15 s (geth's allowed future block time), so that much is allowed and no more.

Jump. A round further from the last accepted one than `largest_jump_percent` is refused and
remembered as the candidate. It counts once a newer round lies within that limit of it: a crash is
told by two rounds, a slip of the feed by one. A newer round that confirms nothing becomes the
candidate itself. So a jump cannot freeze a price for longer than the feed itself is silent: it
must bring another round within its heartbeat. An accepted round that is stale says nothing about
what is possible now: a jump is only measured against one that is still fresh (after a day's
downtime prices start anew, as at the very first reading).
"""

from __future__ import annotations

from enum import StrEnum

from chain.oracle import RoundData
from core.networks import Feed
from prices.rates import scaled

FUTURE_SECONDS = 15
SEQUENCER_UP = 0


class Reason(StrEnum):
    """Why a reading is refused. The words are part of the API."""

    ANSWER_NOT_POSITIVE = "answer_not_positive"
    """answer <= 0."""
    UPDATED_AT_ZERO = "updated_at_zero"
    """The round is not finished."""
    IN_THE_FUTURE = "in_the_future"
    """Updated more than FUTURE_SECONDS ahead of our clock."""
    STALE = "stale"
    """As old as heartbeat + grace, or older."""
    ROUND_BACKWARDS = "round_backwards"
    """An earlier round than the last accepted one, on the same chain."""
    BELOW_MINIMUM = "below_minimum"
    """Under the configured band."""
    ABOVE_MAXIMUM = "above_maximum"
    """Over the configured band."""
    JUMP = "jump"
    """Too far from the last accepted round, and not confirmed by another one yet."""
    SEQUENCER_DOWN = "sequencer_down"
    """The L2's sequencer is down, or its uptime feed has not started."""
    SEQUENCER_GRACE = "sequencer_grace"
    """The L2's sequencer is up again, but not for long enough."""
    UNREACHABLE = "unreachable"
    """No endpoint, or not the feed, gave a usable answer: nothing is known."""
    DISAGREEMENT = "disagreement"
    """Sources that each pass differ by more than the limit."""


def judge(
    feed: Feed,
    round_: RoundData | None,
    previous: RoundData | None,
    candidate: RoundData | None,
    now: int,
    sequencer: Reason | None,
) -> int | Reason:
    """The round's price (quote per base * 10**18), or why it is refused.

    `previous` is the last accepted round, `candidate` a jump that waits for confirmation,
    `sequencer` what `sequencer_state` says.
    """
    if round_ is None:
        return Reason.UNREACHABLE
    if sequencer is not None:
        return sequencer
    if round_.answer <= 0:
        return Reason.ANSWER_NOT_POSITIVE
    if round_.updated_at == 0:
        return Reason.UPDATED_AT_ZERO
    if round_.updated_at > now + FUTURE_SECONDS:
        return Reason.IN_THE_FUTURE
    if valid_until(feed, round_) <= now:
        return Reason.STALE
    if previous is not None and round_.round_id < previous.round_id:
        return Reason.ROUND_BACKWARDS
    if round_.answer < feed.minimum:
        return Reason.BELOW_MINIMUM
    if round_.answer > feed.maximum:
        return Reason.ABOVE_MAXIMUM
    if _jumps(feed, round_, previous, candidate, now):
        return Reason.JUMP
    return scaled(round_.answer, feed.decimals)


def valid_until(feed: Feed, round_: RoundData) -> int:
    """The second from which the round is stale."""
    return round_.updated_at + feed.heartbeat_seconds + feed.grace_seconds


def sequencer_state(uptime: RoundData | None, now: int, grace_seconds: int) -> Reason | None:
    """What an L2's uptime feed says: None is up for long enough. `uptime` None: not known.

    `started_at` is 0 until the feed is first told (Arbitrum); it is when the status changed.
    """
    if uptime is None:
        return Reason.UNREACHABLE
    if uptime.answer != SEQUENCER_UP or uptime.started_at == 0:
        return Reason.SEQUENCER_DOWN
    return Reason.SEQUENCER_GRACE if now - uptime.started_at < grace_seconds else None


def _jumps(
    feed: Feed,
    round_: RoundData,
    previous: RoundData | None,
    candidate: RoundData | None,
    now: int,
) -> bool:
    if previous is None or _near(feed, round_, previous):
        return False
    if candidate is None:
        return valid_until(feed, previous) > now
    return round_.round_id <= candidate.round_id or not _near(feed, round_, candidate)


def _near(feed: Feed, round_: RoundData, other: RoundData) -> bool:
    return abs(round_.answer - other.answer) * 100 <= other.answer * feed.largest_jump_percent
