"""Best execution (VENUES 1): which paths, and how much over each, leaves most after all fees.

Pure. Weighed against each other are every path alone, every venue alone and all of them, so the
answer is never worse than the best single venue. Of what is given as much as the venues' steps
allow is used; of what is wanted at least that much is brought.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from treasury.paths import Path
from treasury.plan import Plan, PlannedLeg
from treasury.splitting import Piece, merged, pieces, share
from treasury.steps import Sized

_ROUNDS = 6  # tries to fit a split into what is free and above the venues' minimum
_TIGHTER = 98  # percent of what was free that is tried next
_PLENTY = 10**60


class Why(StrEnum):
    """Why an amount cannot go some way."""

    BELOW_MINIMUM = "below_minimum"
    """Less than the venue takes."""
    THIN = "thin"
    """The books do not hold as much."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """We do not have as much free there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`amount` of `from_asset` to give, or (`wanted`) of `to_asset` to get; 10**-18."""

    from_asset: str
    to_asset: str
    amount: int
    wanted: bool


@dataclass(frozen=True, slots=True)
class Route:
    """How a wish is fulfilled: each path with its one or two sized steps."""

    parts: tuple[tuple[Path, tuple[Sized, ...]], ...]

    @property
    def from_amount(self) -> int:
        return sum(steps[0].taken for _, steps in self.parts)

    @property
    def to_amount(self) -> int:
        return sum(steps[-1].brought for _, steps in self.parts)

    def plan(self, wish: Wish) -> Plan:
        legs = tuple(
            _leg(number, step, sized)
            for number, (_, steps) in enumerate(self.parts)
            for step, sized in enumerate(steps)
        )
        return Plan(wish.from_asset, wish.to_asset, self.from_amount, self.to_amount, legs)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best route, and what each path alone would have brought, or why it could not."""

    route: Route | Why
    alone: tuple[tuple[Path, Route | Why], ...]


class Router:
    """One wish over some paths. `free` is what each (venue, asset) has to give."""

    def __init__(
        self, wish: Wish, paths: Sequence[Path], free: Mapping[tuple[str, str], int]
    ) -> None:
        self._wish = wish
        self._paths = paths
        self._free = free
        self._venues = [path.venue for path in paths]
        self._pieces = [
            pieces(number, path, wish.amount, wanted=wish.wanted)
            for number, path in enumerate(paths)
        ]

    def choose(self) -> Choice:
        """Without any route it says why. `paths` must not be empty."""
        alone = [self._split({number}) for number in range(len(self._paths))]
        tried = [*alone, *(self._split(among) for among in self._groups())]
        routes = [route for route in tried if isinstance(route, Route)]
        little = Why.BELOW_MINIMUM in alone
        why = Why.BELOW_MINIMUM if little else tried[-1]  # what holds of all paths together
        best = min(routes, key=self._rank) if routes else why
        return Choice(best, tuple(zip(self._paths, alone, strict=True)))

    def _groups(self) -> Iterator[set[int]]:
        venues: dict[str, set[int]] = {}
        for number, path in enumerate(self._paths):
            venues.setdefault(path.venue, set()).add(number)
        for among in venues.values():
            if len(among) > 1:
                yield among
        if len(venues) > 1:
            yield set(range(len(self._paths)))

    def _rank(self, route: Route) -> tuple[int, int, int]:
        legs = sum(len(steps) for _, steps in route.parts)
        if self._wish.wanted:
            return route.from_amount, legs, -route.to_amount
        return -route.to_amount, legs, route.from_amount

    def _split(self, among: set[int]) -> Route | Why:
        """The best split over these paths; those that would get less than their venue takes, or
        cannot bring their share in whole steps, are left out, and a venue that could not lock
        enough is given less."""
        wish, among = self._wish, set(among)
        limits = {venue: self._of(venue, wish.from_asset) for venue in self._venues}
        found, why = self._merged(among), Why.BELOW_MINIMUM
        for _ in range(_ROUNDS):
            shares, left = self._share(found, limits)
            if not shares or left > self._rest(shares):
                return self._short(among) if why is not Why.INSUFFICIENT_FUNDS else why
            made = self._carry_out(shares, left)
            if isinstance(made, Route):
                return made
            number, why = made
            if why is not Why.INSUFFICIENT_FUNDS and len(among) > 1:
                among.discard(number)
                found = self._merged(among)
            elif why is Why.INSUFFICIENT_FUNDS:
                venue = self._paths[number].venue
                limits[venue] = limits[venue] * _TIGHTER // 100
            else:
                return why
        return why

    def _rest(self, shares: Collection[int]) -> int:
        """The most that no step can give, and so may be left over of what is given."""
        return 0 if self._wish.wanted else min(self._paths[n].steps[0].grain for n in shares) - 1

    def _carry_out(self, shares: Mapping[int, int], left: int) -> Route | tuple[int, Why]:
        """The orders for these shares, or which path cannot have its share and why. What one
        path's steps leave over goes on to the next, the finest last."""
        order = sorted(shares, key=lambda number: -self._paths[number].steps[0].grain)
        venues = {self._paths[n].venue for n in order}
        rooms = {venue: self._of(venue, self._wish.from_asset) for venue in venues}
        parts: list[tuple[Path, tuple[Sized, ...]]] = []
        carried = left
        for number in order:
            path = self._paths[number]
            due = carried = shares[number] + carried
            if due <= 0:  # those before brought as much more
                continue
            spare = self._of(path.venue, path.via) if path.via else 0
            size = path.backward if self._wish.wanted else path.forward
            sized = size(due, rooms[path.venue], spare)
            if sized is None:
                return number, self._why_not(path, due, rooms[path.venue])
            if any(one.refusal is not None for one in sized):
                return number, Why.BELOW_MINIMUM
            rooms[path.venue] -= sized[0].locked
            carried = due - (sized[-1].brought if self._wish.wanted else sized[0].taken)
            parts.append((path, tuple(sized)))
            if not self._wish.wanted and carried >= path.steps[0].grain and number == order[-1]:
                return number, self._why_not(path, due, rooms[path.venue] + sized[0].locked)
        return Route(tuple(parts)) if parts else (order[0], Why.BELOW_MINIMUM)

    def _why_not(self, path: Path, due: int, room: int) -> Why:
        """Why a path does not carry `due`: it is too little, the book ends, or money is short."""
        size = path.backward if self._wish.wanted else path.forward
        sized = size(due, _PLENTY, _PLENTY)
        if sized is None:
            return Why.THIN if self._wish.wanted else Why.BELOW_MINIMUM
        if not self._wish.wanted and due - sized[0].taken >= path.steps[0].grain:
            return Why.THIN
        return Why.INSUFFICIENT_FUNDS if sized[0].locked > room else Why.THIN

    def _short(self, among: Collection[int]) -> Why:
        """Whether there is too little money, or the books end before."""
        wish, venues = self._wish, {self._paths[number].venue for number in among}
        if not wish.wanted and wish.amount > sum(self._of(v, wish.from_asset) for v in venues):
            return Why.INSUFFICIENT_FUNDS
        plenty = dict.fromkeys(self._venues, _PLENTY)
        _, left = self._share(self._merged(among), plenty)
        return Why.THIN if left else Why.INSUFFICIENT_FUNDS

    def _merged(self, among: Collection[int]) -> list[Piece]:
        return merged([self._pieces[number] for number in sorted(among)])

    def _share(
        self, found: Sequence[Piece], limits: Mapping[str, int]
    ) -> tuple[dict[int, int], int]:
        wish = self._wish
        return share(found, self._venues, wish.amount, limits, wanted=wish.wanted)

    def _of(self, venue: str, asset: str | None) -> int:
        return max(0, self._free.get((venue, asset or ""), 0))


def _leg(path: int, step: int, sized: Sized) -> PlannedLeg:
    return PlannedLeg(
        path=path,
        step=step,
        venue=sized.step.venue,
        symbol=sized.step.market.symbol,
        side=sized.step.side,
        quantity=sized.quantity,
        limit_price=sized.limit_price,
        expected_price=sized.expected_price,
        expected_in=sized.taken,
        expected_out=sized.brought,
        fee=sized.fee,
        fee_asset=sized.step.fee_asset,
        from_asset=sized.step.from_asset,
        to_asset=sized.step.to_asset,
    )
