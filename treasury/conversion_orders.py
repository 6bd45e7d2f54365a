"""The orders of a conversion as values: what was sent, what follows, what each may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import OrderRefused
from exchanges.numbers import ONE, times, times_up
from exchanges.quantise import quantise
from exchanges.types import Market, Side
from treasury.order_machine import ENDED, OrderStatus
from treasury.plan import PlannedLeg

BACK = 2  # the step that gives what the first one brought back for what it took


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`attempts` orders at most for a step, `pause` after the first, then longer; after `grace` a
    second step or the way back is not begun any more. The way back may cost `back` (a fraction in
    units of 10**-18) of what the first step paid."""

    attempts: int = 5
    pause: timedelta = timedelta(milliseconds=500)
    grace: timedelta = timedelta(seconds=60)
    back: int = ONE // 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An order that was made. `sent`: it may have left; `lost`: it is proved that it never came;
    `dead`: that it is not there is only said. `booked` is base; `given` and `got` are of its two
    assets, fees taken off."""

    path: int
    step: int
    attempt: int
    status: OrderStatus
    sent: bool
    lost: bool = False
    dead: bool = False
    reason: str | None = None
    booked: int = 0
    given: int = 0
    got: int = 0

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def fell_short(self) -> bool:
        """The venue executed less, or never had it: more of the same may be asked for."""
        ended = self.status is OrderStatus.CANCELLED and self.sent
        return (ended or self.lost) and not self.dead


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """An order to make. `blocks` is the most that it takes of `from_asset`, its fee included."""

    path: int
    step: int
    attempt: int
    venue: str
    symbol: str
    side: Side
    quantity: int
    limit_price: int
    from_asset: str
    to_asset: str
    blocks: int
    due_at: datetime
    send_until: datetime


def most(leg: PlannedLeg, market: Market, quantity: int, price: int) -> int:
    """What an order may take at worst: a seller's base, a buyer's quote and the fee on top of it
    where the venue takes it there."""
    if leg.side is Side.SELL:
        return quantity
    cost = times_up(quantity, price)
    return cost + times_up(cost, market.taker_fee) if leg.fee_asset == leg.from_asset else cost


def order_of(
    leg: PlannedLeg,
    market: Market,
    quantity: int,
    *,
    attempt: int,
    due_at: datetime,
    send_until: datetime,
) -> Next | None:
    """The order for `quantity` of a leg at its limit price; None: below what the venue takes."""
    try:
        quantity, price = quantise(market, leg.side, quantity, leg.limit_price)
    except OrderRefused:
        return None
    return Next(
        path=leg.path,
        step=leg.step,
        attempt=attempt,
        venue=leg.venue,
        symbol=leg.symbol,
        side=leg.side,
        quantity=quantity,
        limit_price=price,
        from_asset=leg.from_asset,
        to_asset=leg.to_asset,
        blocks=most(leg, market, quantity, price),
        due_at=due_at,
        send_until=send_until,
    )


def affordable(leg: PlannedLeg, market: Market, have: int) -> int:
    """How much base a leg can trade with `have` of what it gives, at its limit price."""
    if leg.side is Side.SELL:
        return have
    price = leg.limit_price
    if leg.fee_asset == leg.from_asset:
        price += times_up(price, market.taker_fee)
    return max(0, have - 2) * ONE // price  # `most` rounds up twice


def way_back(leg: PlannedLeg, given: int, got: int, limits: Limits) -> PlannedLeg:
    """The first step turned round, at most `limits.back` worse than the average that it paid. A
    buyer counts with a fee on top: which venue takes it there is no matter, both then can."""
    selling = leg.side is Side.BUY
    average = given * ONE // got if selling else got * ONE // given
    change = times(average, limits.back)
    return PlannedLeg(
        path=leg.path,
        step=BACK,
        venue=leg.venue,
        symbol=leg.symbol,
        side=Side.SELL if selling else Side.BUY,
        quantity=0,
        limit_price=average - change if selling else average + change,
        expected_price=average,
        expected_in=0,
        expected_out=0,
        fee=0,
        fee_asset=leg.from_asset if selling else leg.to_asset,
        from_asset=leg.to_asset,
        to_asset=leg.from_asset,
    )
