"""Price-time priority: the better price first, at one price whoever came first."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Resting:
    """What stands in the book: `order_id` of ours, None of a maker's."""

    price: int
    quantity: int
    order_id: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of an incoming order that met `resting`, at the resting price."""

    resting: Resting
    quantity: int

    @property
    def price(self) -> int:
        return self.resting.price


class Ladder:
    """One side of a book. `descending` for bids. `touched` are prices at which something came,
    went or was executed, since it was last cleared."""

    def __init__(self, *, descending: bool) -> None:
        self._sign = -1 if descending else 1
        self._levels: dict[int, list[Resting]] = {}
        self._ranks: list[int] = []  # sign * price, ascending: the best first
        self.touched: set[int] = set()

    def __iter__(self) -> Iterator[Resting]:
        """In priority."""
        for rank in self._ranks:
            yield from self._levels[rank]

    def add(self, resting: Resting) -> None:
        """Behind what stands at its price already."""
        rank = self._sign * resting.price
        if rank not in self._levels:
            self._levels[rank] = []
            insort(self._ranks, rank)
        self._levels[rank].append(resting)
        self.touched.add(resting.price)

    def keep(self, wanted: Callable[[Resting], bool]) -> None:
        """Takes out what is not wanted."""
        for rank in self._ranks:
            self._levels[rank] = [r for r in self._levels[rank] if wanted(r)]
            self.touched.add(self._sign * rank)
        self._ranks = [rank for rank in self._ranks if self._levels[rank]]
        self._levels = {rank: self._levels[rank] for rank in self._ranks}

    def tidy(self) -> None:
        """Takes out what is used up: it stands in front."""
        while self._ranks:
            left = [resting for resting in self._levels[self._ranks[0]] if resting.quantity]
            if left:
                self._levels[self._ranks[0]] = left
                return
            del self._levels[self._ranks.pop(0)]

    def within(self, limit: int) -> Iterator[Resting]:
        """In priority, as long as the price is not worse than `limit` for an incoming order."""
        for rank in self._ranks:
            if rank > self._sign * limit:
                return
            yield from self._levels[rank]

    def levels(self, depth: int | None = None) -> dict[int, int]:
        """Quantity by price, the best first."""
        ranks = self._ranks if depth is None else self._ranks[:depth]
        return {self._sign * r: sum(one.quantity for one in self._levels[r]) for r in ranks}

    def at(self, price: int) -> int:
        """Quantity at a price."""
        return sum(one.quantity for one in self._levels.get(self._sign * price, ()))

    @property
    def best(self) -> int | None:
        return self._sign * self._ranks[0] if self._ranks else None


class Orders:
    """Both sides of a symbol's book."""

    def __init__(self) -> None:
        self.sides: Mapping[str, Ladder] = {
            "buy": Ladder(descending=True),
            "sell": Ladder(descending=False),
        }

    def against(self, side: str) -> Ladder:
        """Where an incoming order of that side finds its counterparts."""
        return self.sides["sell" if side == "buy" else "buy"]

    def available(self, side: str, limit: int) -> int:
        return sum(resting.quantity for resting in self.against(side).within(limit))

    def match(self, side: str, quantity: int, limit: int) -> list[Match]:
        """Executes as much as there is within `limit`; what is used up leaves the book."""
        found: list[Match] = []
        ladder = self.against(side)
        for resting in ladder.within(limit):
            if not quantity:
                break
            taken = min(quantity, resting.quantity)
            resting.quantity -= taken
            quantity -= taken
            ladder.touched.add(resting.price)
            found.append(Match(resting, taken))
        if found:
            ladder.tidy()
        return found
