"""Request weight and order count as Binance counts them: by interval, 429, then a ban (418).

Intervals begin with the clock's (a minute at :00), one address (rest-api.md, LIMITS). Filled orders
do not count (faqs/order_count_decrement.md). Placing and cancelling weigh nothing when they
succeed (since 2026-04-02).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sandbox.exchanges import binance_errors as errors

WEIGHT = 6000
_WARNINGS = 10
"""429 answers that are ignored before the ban."""
_FIRST_BAN = 120
_LONGEST_BAN = 3 * 86_400


class Window:
    """What was used of a limit in the interval that runs."""

    def __init__(self, kind: str, letter: str, number: int, limit: int) -> None:
        self.kind = kind
        self.letter = letter
        self.number = number
        self.limit = limit
        self._interval, self._unit = {
            "S": ("SECOND", 1),
            "M": ("MINUTE", 60),
            "D": ("DAY", 86_400),
        }[letter]
        self._began = 0
        self._used = 0

    @property
    def seconds(self) -> int:
        return self.number * self._unit

    @property
    def words(self) -> str:
        return f"{self.number} {self._interval}"

    def used(self, now: float) -> int:
        began = int(now) // self.seconds * self.seconds
        if began != self._began:
            self._began, self._used = began, 0
        return self._used

    def add(self, now: float, count: int) -> None:
        self._used = max(0, self.used(now) + count)

    def wait(self, now: float) -> int:
        """Whole seconds until the interval ends, at least 1."""
        return self.seconds - int(now) % self.seconds

    def rule(self) -> dict[str, Any]:
        """As exchangeInfo lists it."""
        return {
            "rateLimitType": self.kind,
            "interval": self._interval,
            "intervalNum": self.number,
            "limit": self.limit,
        }


class Limits:
    """All limits of one address and one account. `letter`: the interval of the weight, M or S;
    `clock`: unix seconds."""

    def __init__(
        self, weight: int = WEIGHT, letter: str = "M", clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self.weight = Window("REQUEST_WEIGHT", letter, 1, weight)
        self.raw = Window("RAW_REQUESTS", "M", 5, max(300_000, 50 * weight))
        # orders grow with the weight: whoever widens one wants both
        scale = max(1, weight // WEIGHT)
        self.orders = (
            Window("ORDERS", "S", 10, 100 * scale),
            Window("ORDERS", "D", 1, 200_000 * scale),
        )
        self._ignored = 0
        self._ban = _FIRST_BAN
        self._banned_until = 0.0
        self._refused_until = 0.0

    def spend(self, weight: int) -> None:
        """Counts a request. Raises Problem 429, or 418 for who goes on after it."""
        now = self._clock()
        if now < self._banned_until:
            raise errors.banned(int(self._banned_until * 1000), int(self._banned_until - now) + 1)
        self.raw.add(now, 1)
        self.weight.add(now, weight)
        if self.weight.used(now) <= self.weight.limit and self.raw.used(now) <= self.raw.limit:
            return
        self._ignored = self._ignored + 1 if now < self._refused_until else 0
        self._refused_until = now + self.weight.wait(now)
        if self._ignored >= _WARNINGS:
            self._banned_until = now + self._ban
            self._ignored, wait = 0, self._ban
            self._ban = min(2 * self._ban, _LONGEST_BAN)
            raise errors.banned(int(self._banned_until * 1000), wait)
        raise errors.too_much_weight(self.weight.limit, self.weight.wait(now), self.weight.words)

    def give_back(self, weight: int) -> None:
        self.weight.add(self._clock(), -weight)

    def check_order(self) -> None:
        """Raises Problem 429 when no order may be placed now."""
        now = self._clock()
        for window in self.orders:
            if window.used(now) >= window.limit:
                raise errors.too_many_orders(window.limit, window.words, window.wait(now))

    def count_order(self, *, filled: bool) -> None:
        if not filled:
            for window in self.orders:
                window.add(self._clock(), 1)

    @property
    def used(self) -> str:
        return str(self.weight.used(self._clock()))

    def headers(self) -> dict[str, str]:
        used = self.used
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def order_headers(self) -> dict[str, str]:
        now = self._clock()
        return {f"X-MBX-ORDER-COUNT-{w.number}{w.letter}": str(w.used(now)) for w in self.orders}

    def rules(self) -> list[dict[str, Any]]:
        return [window.rule() for window in (self.weight, *self.orders, self.raw)]

    def state(self, *, orders: bool = False) -> list[dict[str, Any]]:
        """As the WebSocket API tells it with each answer."""
        now = self._clock()
        windows = (*self.orders, self.weight) if orders else (self.weight,)
        return [{**window.rule(), "count": window.used(now)} for window in windows]
