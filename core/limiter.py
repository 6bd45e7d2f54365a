"""Token buckets in memory: so many a second, so many at once, for each asker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_SWEEP_FROM = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left. `reset` and `retry_after` are whole seconds, rounded up."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    retry_after: int


class Limiter:
    """Generic cell rate algorithm: one number an asker, the time at which its bucket is full.

    Each process counts for itself: n API processes allow n times as much.
    """

    def __init__(
        self, per_second: int, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._burst = burst
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = _SWEEP_FROM

    def take(self, asker: Hashable) -> Allowance:
        """Takes one token if there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(asker, now), now)
        debt = full_at - now + self._interval
        spare = self._burst * self._interval - debt
        if spare < -1e-9:
            reset = math.ceil(full_at - now)
            return Allowance(False, self._burst, 0, reset, max(1, math.ceil(-spare)))
        self._full_at[asker] = now + debt
        if len(self._full_at) >= self._sweep_at:
            self._sweep(now)
        remaining = int(spare / self._interval + 1e-6)
        return Allowance(True, self._burst, remaining, math.ceil(debt), 0)

    def _sweep(self, now: float) -> None:
        """Forgets full buckets; the next sweep waits until as many again have come."""
        self._full_at = {who: at for who, at in self._full_at.items() if at > now}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._full_at))
