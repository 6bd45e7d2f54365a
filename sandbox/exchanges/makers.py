"""Market makers: quiet, seeded, deep. Their quotes change only with the mid, or after a trade."""

from __future__ import annotations

from random import Random

from exchanges.numbers import ONE, down, times, up
from sandbox.exchanges.matching import Resting
from sandbox.exchanges.types import SimMarket

LEVELS = 500  # a side
SPACING = 2 * ONE // 10_000  # 0.02 % of the mid from level to level
WORTH = 4_000  # of the quote stand at a level, give or take a half


class Makers:
    """The quotes of one market. Sizes come from `seed`: the same trades meet the same book."""

    def __init__(self, market: SimMarket, seed: str) -> None:
        self._market = market
        self._random = Random(f"{seed}:{market.symbol}")  # noqa: S311  (a script, not a secret)
        self._quotes: dict[str, list[Resting]] = {"buy": [], "sell": []}
        self._mid = 0

    def quote(self, mid: int) -> dict[str, list[Resting]]:
        """New quotes of both sides around `mid`, the best first, in place of all earlier ones."""
        self._mid = mid
        for side in self._quotes:
            self._quotes[side] = [
                Resting(self._price(side, level), self._size()) for level in range(1, LEVELS + 1)
            ]
        return self._quotes

    def refill(self) -> list[tuple[str, Resting]]:
        """In place of what was bought or sold, in other sizes: side and quote."""
        new: list[tuple[str, Resting]] = []
        for side, quotes in self._quotes.items():
            for i, resting in enumerate(quotes):
                if not resting.quantity:
                    quotes[i] = Resting(resting.price, self._size())
                    new.append((side, quotes[i]))
        return new

    def _price(self, side: str, level: int) -> int:
        away = times(self._mid, SPACING) * level
        tick = self._market.tick
        if side == "sell":
            return up(self._mid + away, tick)
        return max(tick, down(self._mid - away, tick))

    def _size(self) -> int:
        """Of the order of WORTH, in steps; at least one."""
        worth = ONE * self._random.randint(WORTH // 2, WORTH * 3 // 2)
        step = self._market.step
        return max(step, down(worth * ONE // self._mid, step))
