"""How unusual a deposit is, from plain facts: points that add up to at most 100, each with its
reason. What becomes of a score is the policy's to say (rules.ScoreRule)."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 100
HABIT = 20  # deposits before anybody speaks of a merchant's habit
USUAL_HOURS = 24 * 30  # over which the usual pace is taken

NEW_ADDRESS = 10
NO_PRICE = 10
ON_MIXER_LIST = 60
# (at least so many times what 95 of 100 deposits stay under, points): the first that holds
ABOVE_HABIT = ((50, 50), (10, 35), (3, 20))
# (at least so many from one address within an hour, points)
FROM_ONE_ADDRESS = ((50, 40), (10, 20))
# (at least so many times the merchant's usual pace, points), from PACE_LEAST an hour on
PACE_LEAST = 20
PACE = ((50, 40), (10, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a deposit's source and of its merchant, this deposit not counted.

    `value` and `usual` are minor units of the house currency: None without a price, and what 95 of
    100 of the merchant's `habit` last deposits do not exceed. `merchant_month` are its deposits of
    the 30 days before the last hour.
    """

    seen_before: int  # deposits from the address to this merchant
    value: int | None
    habit: int
    usual: int | None
    from_address_hour: int
    merchant_hour: int
    merchant_month: int
    mixer_lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A reason and what it adds."""

    code: str
    points: int
    detail: str


@dataclass(frozen=True, slots=True)
class Score:
    """`value` is the sum of all points, at most LARGEST."""

    value: int
    points: tuple[Point, ...]


def score(facts: Facts) -> Score:
    """Pure; the same facts always give the same score."""
    found = [
        Point("mixer", ON_MIXER_LIST, f"the source is on {name}") for name in facts.mixer_lists[:1]
    ]
    if facts.seen_before == 0:
        found.append(Point("new_address", NEW_ADDRESS, "the first deposit from this address"))
    found += _amount(facts)
    hour = facts.from_address_hour
    if points := _first(FROM_ONE_ADDRESS, hour, 1):
        found.append(Point("velocity_address", points, f"{hour} from this address in an hour"))
    found += _pace(facts)
    return Score(min(LARGEST, sum(point.points for point in found)), tuple(found))


def _amount(facts: Facts) -> list[Point]:
    if facts.value is None:
        return [Point("no_price", NO_PRICE, "its value is not known")]
    if facts.habit < HABIT or not facts.usual:
        return []
    points = _first(ABOVE_HABIT, facts.value, facts.usual)
    if not points:
        return []
    times = facts.value // facts.usual
    told = f"{times} times what 95 of the last 100 deposits stay under"
    return [Point("amount_above_habit", points, told)]


def _pace(facts: Facts) -> list[Point]:
    hour, month = facts.merchant_hour, facts.merchant_month
    if hour < PACE_LEAST or month < HABIT:
        return []
    points = _first(PACE, hour * USUAL_HOURS, month)
    told = f"{hour} deposits in an hour, {month} in the 30 days before"
    return [Point("velocity_merchant", points, told)] if points else []


def _first(steps: tuple[tuple[int, int], ...], value: int, unit: int) -> int:
    return next((points for times, points in steps if value >= times * unit), 0)
