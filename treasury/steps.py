"""One order of a route: how much of a book it takes, what that costs, brings and locks.

Integers of 10**-18 throughout. Whatever is rounded is rounded against us: what we give up, what we
get down, so that a plan never promises more than its levels hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.errors import OrderRefused
from exchanges.numbers import ONE, down, up
from exchanges.quantise import quantise
from exchanges.types import Market, Side, Venue

SQUARE = ONE * ONE
BASIS = 10_000

# Where a venue takes its fee from quote also when it sells to us, on top of the price. Elsewhere
# the fee is taken from what is received (VENUES 5).
FEE_ON_TOP = frozenset({Venue.COINBASE.value})


@dataclass(frozen=True, slots=True)
class Sized:
    """A step with its quantity. `taken` of what it gives and `brought` of what it gets are both
    with the fee. `locked` is what the venue wants to see free: a buy's at its limit price."""

    step: Step
    quantity: int
    limit_price: int
    expected_price: int
    taken: int
    brought: int
    fee: int
    locked: int

    @property
    def refusal(self) -> str | None:
        """Why the venue would not take this order (a reason of quantise), or None."""
        try:
            quantise(self.step.market, self.step.side, self.quantity, self.limit_price)
        except OrderRefused as error:
            return error.reason
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """A market's side, its levels from the best as (price, quantity), no deeper than one order of
    this market may go. `tolerance` in basis points is how far a limit price lies behind the worst
    level."""

    venue: str
    market: Market
    side: Side
    levels: tuple[tuple[int, int], ...]
    depth: int
    tolerance: int

    @property
    def from_asset(self) -> str:
        return self.market.base if self.side is Side.SELL else self.market.quote

    @property
    def to_asset(self) -> str:
        return self.market.quote if self.side is Side.SELL else self.market.base

    @property
    def fee_asset(self) -> str:
        return self.from_asset if self.on_top else self.to_asset

    @property
    def on_top(self) -> bool:
        return self.side is Side.BUY and self.venue in FEE_ON_TOP

    @property
    def grain(self) -> int:
        """What one more step of quantity takes at most: less than this cannot be given."""
        if self.side is Side.SELL or not self.levels:
            return self.market.step
        return self._cost(self.market.step * self.levels[-1][0])

    def curve(self) -> Iterator[tuple[int, int]]:
        """What each level takes and brings, from the best."""
        fee = self.market.taker_fee
        kept, whole = ONE - fee, ONE + fee
        if self.side is Side.SELL:
            return ((q, q * p * kept // SQUARE) for p, q in self.levels)
        if self.on_top:
            return ((-(-q * p * whole // SQUARE), q) for p, q in self.levels)
        return ((-(-q * p // ONE), q * kept // ONE) for p, q in self.levels)

    def forward(self, budget: int, lockable: int) -> Sized | None:
        """The most that `budget` buys or sells, with `lockable` free at the venue for it; None
        when that is nothing."""
        if self.side is Side.SELL:
            return self._at(down(min(budget, lockable, self.depth), self.market.step), lockable)
        quantity = down(self._affordable(budget, lockable), self.market.step)
        sized = self._at(quantity, lockable)
        while sized is not None and sized.taken > budget:  # by a unit of rounding
            sized = self._at(sized.quantity - self.market.step, lockable)
        return sized

    def backward(self, wanted: int, lockable: int | None) -> Sized | None:
        """The least that brings `wanted`; None where the book, or what is free, is too little.
        `lockable` None: what is free is not known yet."""
        step = self.market.step
        sized = self._at(up(self._needed(wanted), step), lockable)
        while sized is not None and sized.brought < wanted:  # by a unit of rounding
            sized = self._at(sized.quantity + step, lockable)
        return sized

    def _affordable(self, budget: int, lockable: int) -> int:
        """The base that `budget` pays for and `lockable` can be locked for."""
        whole = ONE + self.market.taker_fee if self.on_top else ONE
        money, most = budget * SQUARE // whole, lockable * SQUARE // whole
        bought = spent = 0
        for price, quantity in self.levels:
            more = min(quantity, (money - spent) // price, most // price - bought)
            if more <= 0:
                break
            bought, spent = bought + more, spent + more * price
            if more < quantity:
                break
        return min(bought, self.depth)

    def _needed(self, wanted: int) -> int:
        """The base that brings `wanted` after the fee, also when the book ends before."""
        fee = self.market.taker_fee
        if self.side is Side.BUY:
            return wanted if self.on_top else -(-wanted * ONE // (ONE - fee))
        missing, sold = -(-wanted * SQUARE // (ONE - fee)), 0
        for price, quantity in self.levels:
            if quantity * price >= missing:
                return sold - (-missing // price)
            missing, sold = missing - quantity * price, sold + quantity
        return self.depth + 1

    def _at(self, quantity: int, lockable: int | None) -> Sized | None:
        if quantity <= 0 or quantity > self.depth:
            return None
        exact, left, worst = 0, quantity, 0
        for worst, available in self.levels:
            part = min(left, available)
            exact, left = exact + part * worst, left - part
            if not left:
                break
        limit = self._limit(worst, quantity, lockable)
        if limit is None:
            return None
        average = -(-exact // quantity) if self.side is Side.BUY else exact // quantity
        rate = self.market.taker_fee
        if self.side is Side.BUY and not self.on_top:
            fee = -(-quantity * rate // ONE)
            taken, brought, locked = -(-exact // ONE), quantity - fee, -(-quantity * limit // ONE)
        elif self.side is Side.BUY:
            fee = -(-exact * rate // SQUARE)
            taken, brought, locked = -(-exact // ONE) + fee, quantity, self._cost(quantity * limit)
        else:
            fee = -(-exact * rate // SQUARE)
            taken, brought, locked = quantity, exact // ONE - fee, quantity
        if brought <= 0 or (lockable is not None and locked > lockable):
            return None
        return Sized(self, quantity, limit, average, taken, brought, fee, locked)

    def _limit(self, worst: int, quantity: int, lockable: int | None) -> int | None:
        """The worst price that is agreed to, on the tick: less far behind the worst level where a
        buy could not lock more. None where it could not even lock that."""
        tick = self.market.tick
        if self.side is Side.SELL:
            return max(tick, down(worst * (BASIS - self.tolerance) // BASIS, tick))
        limit = up(-(-worst * (BASIS + self.tolerance) // BASIS), tick)
        if lockable is None:
            return limit
        whole = ONE + self.market.taker_fee if self.on_top else ONE
        limit = min(limit, down(lockable * SQUARE // (quantity * whole), tick))
        return limit if limit >= worst else None

    def _cost(self, exact: int) -> int:
        """What a buy of `exact` (quantity * price, 10**-36) takes at most."""
        rate = self.market.taker_fee if self.on_top else 0
        return -(-exact // ONE) + -(-exact * rate // SQUARE)


def step_of(
    venue: str, market: Market, side: Side, levels: Sequence[tuple[int, int]], tolerance: int
) -> Step:
    """A side of a market over what stands against it: its asks to buy, its bids to sell, as
    (price, quantity) from the best. It ends at a whole step of quantity: no order takes what
    stands beyond, and a share of it would be one that cannot be carried out."""
    cut: list[tuple[int, int]] = []
    depth = 0
    for price, quantity in levels:
        most = quantity
        if market.max_quantity is not None:
            most = min(most, market.max_quantity - depth)
        if market.max_notional is not None:  # of the whole order at its limit price
            limit = price * (BASIS + tolerance) // BASIS + market.tick
            most = min(most, market.max_notional * ONE // limit - depth)
        if most > 0:
            cut.append((price, most))
            depth += most
        if most < quantity:
            break
    beyond = depth % market.step
    depth -= beyond
    while beyond:
        price, quantity = cut.pop()
        if quantity > beyond:
            cut.append((price, quantity - beyond))
        beyond -= min(beyond, quantity)
    return Step(venue, market, side, tuple(cut), depth, tolerance)
