"""When a rule looks, and how much it then converts. Pure; amounts in units of 10**-18."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from cronsim import CronSim, CronSimError

ON_SETTLEMENT = "on_settlement"
PERIOD = timedelta(seconds=2)  # how often a rule without a schedule looks


class Basis(StrEnum):
    """Of what a rule converts its share."""

    SETTLED = "settled"
    """What deposits brought merchants to spend, less what the chain took back, since it looked
    last."""
    FIAT_AT_QUOTE = "fiat_at_quote"
    """The part of it that the house took over for fiat of this currency."""
    FIAT_AT_FILL = "fiat_at_fill"
    """What is set aside for merchants who carry the price themselves: all of it, always."""
    HELD = "held"
    """What stands free at the venues above the rule's threshold, whosever it is."""


class Reason(StrEnum):
    """Why a rule did not fire. Refusals of quotes come with codes of their own."""

    NOTHING = "nothing_to_convert"
    BELOW_MINIMUM = "below_minimum"
    DAILY_LIMIT = "daily_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a person wrote. `share` of 1; `threshold` with Basis.HELD alone."""

    basis: Basis
    share: Fraction
    minimum: int = 0
    threshold: int | None = None
    daily_limit: int | None = None
    step: int = 1  # the asset's base unit: nothing finer can be asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`counted` since the last time, of the terms' basis (fewer than none: a fork took more back);
    `standing` there now, for a basis that is a balance. `converted_today`: by this rule, UTC."""

    left_over: int = 0
    counted: int = 0
    standing: int = 0
    converted_today: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """Convert `amount`, or none and why. `left_over` is what counts for the next time."""

    amount: int
    left_over: int
    reason: Reason | None


def judge(terms: Terms, found: Found) -> Judgement:
    """The whole rule. What is below the minimum, above the limit or finer than the asset is not
    lost: it is there the next time. A share is rounded down at each look."""
    pot = _pot(terms, found)
    wanted, room = max(0, pot), None
    if terms.daily_limit is not None:
        room = max(0, terms.daily_limit - found.converted_today)
        wanted = min(wanted, room)
    wanted -= wanted % terms.step
    counts = terms.basis in (Basis.SETTLED, Basis.FIAT_AT_QUOTE)
    if wanted and wanted >= terms.minimum:
        return Judgement(wanted, pot - wanted if counts else 0, None)
    limited = room is not None and max(0, pot) > room
    reason = Reason.DAILY_LIMIT if limited else Reason.BELOW_MINIMUM if pot > 0 else Reason.NOTHING
    return Judgement(0, pot if counts else 0, reason)


def _pot(terms: Terms, found: Found) -> int:
    if terms.basis is Basis.FIAT_AT_FILL:
        return found.standing
    if terms.basis is Basis.HELD:
        above = max(0, found.standing - (terms.threshold or 0))
        return _floor(above * terms.share)
    return found.left_over + _floor(found.counted * terms.share)


def _floor(exact: Fraction) -> int:
    return exact.numerator // exact.denominator


def next_due(schedule: str, now: datetime) -> datetime:
    """The first moment after `now`; UTC, the domain's time. What was missed meanwhile is not made
    up for: the next firing counts all since the last one. Raises ValueError for no schedule."""
    if schedule == ON_SETTLEMENT:
        return now + PERIOD
    try:
        found = next(CronSim(schedule, now), None)
    except CronSimError as error:
        raise ValueError(str(error)) from None
    if found is None:
        raise ValueError("never comes")
    return found
