"""One side of a book that a stream keeps, level by level."""

from __future__ import annotations

from bisect import bisect_left, insort

from exchanges.types import Level


class BookSide:
    """Quantities by price, and the prices in order: a change costs no sorting."""

    def __init__(self) -> None:
        self._prices: list[int] = []
        self._levels: dict[int, Level] = {}

    def __len__(self) -> int:
        return len(self._prices)

    def put(self, level: Level) -> None:
        """What stands at its price now; a quantity of 0: nothing."""
        known = level.price in self._levels
        if level.quantity > 0:
            self._levels[level.price] = level
            if not known:
                insort(self._prices, level.price)
        elif known:
            del self._levels[level.price]
            del self._prices[bisect_left(self._prices, level.price)]

    def highest(self, most: int) -> tuple[Level, ...]:
        return tuple(self._levels[price] for price in self._prices[: -most - 1 : -1])

    def lowest(self, most: int) -> tuple[Level, ...]:
        return tuple(self._levels[price] for price in self._prices[:most])
