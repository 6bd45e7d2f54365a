"""The venue's time, measured again and again: a signed request carries it (VENUES 3).

Anchored on the monotonic clock, so that a step of our wall clock does not move it. The venue
forgives a timestamp that is up to recvWindow late and only one second early (rest-api.md, "Timing
security"): the moment of its answer counts as the moment it looked, which is never early.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_AGE = 60.0
"""Seconds after which it is measured again."""


class VenueClock:
    """`wall` and `monotonic`: seconds."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._anchor: tuple[int, float] | None = None
        self.offset_ms = 0
        """The venue's clock less our wall clock, when it was measured."""

    @property
    def is_fresh(self) -> bool:
        return self._anchor is not None and self._monotonic() - self._anchor[1] < MAX_AGE

    def started(self) -> float:
        """Call before asking for the venue's time; its answer goes to `measured`."""
        return self._monotonic()

    def measured(self, started: float, server_ms: int) -> None:
        received = self._monotonic()
        halfway_ms = round((received - started) * 500)
        self._anchor = server_ms, received
        self.offset_ms = server_ms + halfway_ms - round(self._wall() * 1000)

    def forget(self) -> None:
        """The venue says that it is wrong (-1021)."""
        self._anchor = None

    def now_ms(self) -> int:
        """Its time now, milliseconds; ours while it was never measured."""
        if self._anchor is None:
            return int(self._wall() * 1000)
        server_ms, received = self._anchor
        return server_ms + int((self._monotonic() - received) * 1000)
