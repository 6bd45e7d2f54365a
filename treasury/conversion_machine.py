"""One pure function: a plan and what became of its orders -> the conversion's state, the orders to
make next, and what it came to (DESIGN 4, VENUES 2).

A path goes step by step. What an order left over is asked for again, within the quote's limit price
and while the quote stands. What a first step brought is sold on at the agreed price, even after
that; if nobody pays it, it goes back for what it cost, within a limit, or stays ours and is named.
Where a person's word is all that says that an order is not there, nothing takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from exchanges.types import Market
from treasury.conversion_orders import (
    BACK,
    Limits,
    Made,
    Next,
    affordable,
    order_of,
    way_back,
)
from treasury.order_machine import OrderStatus
from treasury.plan import Plan, PlannedLeg


class ConversionStatus(StrEnum):
    """How far a conversion is."""

    ACCEPTED = "accepted"
    """Its funds are blocked, nothing was sent."""
    WORKING = "working"
    """Orders are under way, or their outcome is not known."""
    FILLED = "filled"
    """All of it was exchanged."""
    PARTIALLY_FILLED = "partially_filled"
    """Less was exchanged; the rest is where it was, or kept in the asset between."""
    FAILED = "failed"
    """Nothing was exchanged, or all of it went back."""


OVER = frozenset(
    {ConversionStatus.FILLED, ConversionStatus.PARTIALLY_FILLED, ConversionStatus.FAILED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`reason`: why not all of it was exchanged. `given` of the plan's from_asset, `got` of its
    to_asset, `kept` {asset between: units}. `against_quote` {asset: units} is how much better than
    quoted it went (worse: negative), for what was exchanged."""

    status: ConversionStatus
    reason: str | None
    given: int
    got: int
    kept: dict[str, int]
    against_quote: dict[str, int]
    orders: tuple[Next, ...]


@dataclass(slots=True)
class _Path:
    """What a path came to. `follows`: its next order; `waits`: one is under way."""

    legs: Sequence[PlannedLeg]
    made: Mapping[int, Sequence[Made]]
    waits: bool = False
    follows: Next | None = None
    complete: bool = False
    stuck: bool = False  # holds what it could not sell on
    reason: str | None = None
    against: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def given(self, step: int) -> int:
        return sum(order.given for order in self.made.get(step, ()))

    def got(self, step: int) -> int:
        return sum(order.got for order in self.made.get(step, ()))

    @property
    def between(self) -> int:
        """Of what the first of two steps brought, what is still there."""
        if len(self.legs) == 1:
            return 0
        return self.got(0) - self.given(1) - self.given(BACK)

    @property
    def reached(self) -> int:
        """Of what was given, what has become the plan's to_asset: of two steps as large a part as
        the second one has sold of what the first one brought."""
        if len(self.legs) == 1:
            return self.given(0)
        brought = self.got(0)
        return self.given(0) * min(self.given(1), brought) // brought if brought else 0


def reached(plan: Plan, orders: Sequence[Made]) -> int:
    """Of the from_asset, rounded down: what was exchanged to the end. The rest of what was given
    lies in the asset between, or was lost on its way back."""
    return sum(path.reached for path in _paths(plan.legs, orders))


def judge(
    plan: Plan,
    orders: Sequence[Made],
    markets: Mapping[tuple[str, str], Market],
    *,
    valid_until: datetime,
    now: datetime,
    limits: Limits,
    over: bool = False,
) -> Judgement:
    """`markets` by (venue, symbol): the grids that orders are cut to. `now` is wall time. `over`:
    it ended before, and what comes late is counted, but nothing follows from it any more."""
    limits = replace(limits, attempts=0) if over else limits
    paths = [_follow(path, markets, valid_until, now, limits) for path in _paths(plan.legs, orders)]
    kept: dict[str, int] = defaultdict(int)
    against: dict[str, int] = defaultdict(int)
    for path in paths:
        if path.between:
            kept[path.legs[0].to_asset] += path.between
        for asset, units in path.against.items():
            against[asset] += units
    status = _status(paths, orders)
    ended = status in OVER
    reasons = [path.reason for path in paths if path.reason]
    return Judgement(
        status=status,
        reason=reasons[0] if ended and status is not ConversionStatus.FILLED and reasons else None,
        given=sum(path.given(0) - path.got(BACK) for path in paths),
        got=sum(path.got(len(path.legs) - 1) for path in paths),
        kept=dict(kept),
        against_quote={a: units for a, units in against.items() if units} if ended else {},
        orders=tuple(path.follows for path in paths if path.follows is not None),
    )


def _paths(legs: Sequence[PlannedLeg], orders: Sequence[Made]) -> list[_Path]:
    found = []
    for number in sorted({leg.path for leg in legs}):
        mine = sorted((leg for leg in legs if leg.path == number), key=lambda leg: leg.step)
        made: dict[int, list[Made]] = defaultdict(list)
        for order in sorted(orders, key=lambda order: order.attempt):
            if order.path == number:
                made[order.step].append(order)
        found.append(_Path(mine, made))
    return found


def _status(paths: Sequence[_Path], orders: Sequence[Made]) -> ConversionStatus:
    if any(path.waits or path.follows for path in paths):
        begun = any(order.sent or order.ended for order in orders)
        return ConversionStatus.WORKING if begun else ConversionStatus.ACCEPTED
    if all(path.complete for path in paths):
        return ConversionStatus.FILLED
    exchanged = any(path.got(len(path.legs) - 1) or path.stuck for path in paths)
    return ConversionStatus.PARTIALLY_FILLED if exchanged else ConversionStatus.FAILED


def _follow(
    path: _Path,
    markets: Mapping[tuple[str, str], Market],
    valid_until: datetime,
    now: datetime,
    limits: Limits,
) -> _Path:
    """One path, as far as its orders are known to have ended."""
    path.waits = any(not order.ended for made in path.made.values() for order in made)
    if path.waits:
        return path
    _first(path, markets, valid_until, now, limits)
    if path.follows is None and len(path.legs) > 1:
        _second(path, markets, valid_until, now, limits)
    if path.follows is None:
        _weigh(path)
    return path


def _first(
    path: _Path,
    markets: Mapping[tuple[str, str], Market],
    valid_until: datetime,
    now: datetime,
    limits: Limits,
) -> None:
    leg, made = path.legs[0], path.made.get(0, ())
    rest = leg.quantity - sum(order.booked for order in made)
    path.complete = rest <= 0
    if path.complete or any(path.made.get(step) for step in (1, BACK)):
        path.reason = None if path.complete else _why(made, now, valid_until)
        return
    path.follows = _again(leg, markets, made, rest, valid_until, now, limits)
    path.reason = _why(made, now, valid_until)


def _second(
    path: _Path,
    markets: Mapping[tuple[str, str], Market],
    valid_until: datetime,
    now: datetime,
    limits: Limits,
) -> None:
    """Sells on what the first step brought, else gives it back."""
    leg, made, back = path.legs[1], path.made.get(1, ()), path.made.get(BACK, ())
    done = bool(made) and made[-1].status is OrderStatus.FILLED
    path.complete = path.complete and done
    if not done:
        path.reason = path.reason or _why(made, now, valid_until)
    if done or path.between <= 0:
        return
    if not back:
        able = _able(leg, markets, path.between)
        path.follows = _again(leg, markets, made, able, valid_until, now, limits)
    if path.follows is not None:
        return
    path.stuck = not (back and back[-1].status is OrderStatus.FILLED)
    if not path.stuck or any(order.dead for order in (*made, *back)):
        return
    turned = way_back(path.legs[0], path.given(0), path.got(0), limits)
    able = _able(turned, markets, path.between)
    path.follows = _again(turned, markets, back, able, now, now, limits)


def _again(
    leg: PlannedLeg,
    markets: Mapping[tuple[str, str], Market],
    made: Sequence[Made],
    quantity: int,
    valid_until: datetime,
    now: datetime,
    limits: Limits,
) -> Next | None:
    """The first order of a step, or one more after one that fell short; None: no more of it. A
    first step needs a quote that stands, a second one only to try again; the way back none."""
    if len(made) >= limits.attempts or (made and not made[-1].fell_short):
        return None
    due_at = now + len(made) * limits.pause
    late = valid_until if leg.step == 0 else max(valid_until, now + limits.grace)
    if due_at >= valid_until and (leg.step == 0 or (leg.step == 1 and made)):
        return None
    market = markets.get((leg.venue, leg.symbol))
    if market is None:  # the venue lists it no more
        return None
    return order_of(leg, market, quantity, attempt=len(made), due_at=due_at, send_until=late)


def _able(leg: PlannedLeg, markets: Mapping[tuple[str, str], Market], have: int) -> int:
    market = markets.get((leg.venue, leg.symbol))
    return affordable(leg, market, have) if market is not None else 0


def _why(made: Sequence[Made], now: datetime, valid_until: datetime) -> str:
    """Why a step is not made up for."""
    if not made:
        return "below_minimum"
    last = made[-1]
    if last.dead or last.lost:
        return "not_shown"
    if last.status is OrderStatus.REFUSED:
        return last.reason or "refused"
    if not last.sent:
        return "not_sent_in_time"
    return "quote_expired" if now >= valid_until else "price_not_met"


def _weigh(path: _Path) -> None:
    """What was exchanged against what the quote promised for as much."""
    first, last = path.legs[0], path.legs[-1]
    taken, brought = path.given(0), path.got(0)
    if len(path.legs) == 1:
        if taken:
            promised = last.expected_out * taken // first.expected_in
            path.against[last.to_asset] += brought - promised
    elif brought:
        sold, returned = path.given(1), path.given(BACK)
        promised = last.expected_out * taken * sold // (first.expected_in * brought)
        path.against[last.to_asset] += path.got(1) - promised
        path.against[first.from_asset] += path.got(BACK) - taken * returned // brought
