"""How often Coinbase may be asked: windows, its headers, and Retry-After for the whole venue.

Documented: 30 requests a second for a user, 10 for public data of one address; Coinbase App (v2)
10,000 an hour for a key. One process counts for itself.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum

from core.errors import VenueUnavailable

_LONGEST_HOLD = 60.0


class Lane(StrEnum):
    """Which limit a request counts against."""

    PRIVATE = "private"
    """Advanced Trade, for this user."""
    PUBLIC = "public"
    """Advanced Trade, for this address."""
    APP = "app"
    """Coinbase App, for this key."""


# (requests, seconds). A second is taken a little longer: requests may be nearer to each other when
# they arrive than when they left.
_WINDOWS = {Lane.PRIVATE: (30, 1.05), Lane.PUBLIC: (10, 1.05), Lane.APP: (10_000, 3600.0)}


class Pace:
    """Says when the next request may go. One event loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns = {lane: deque[float](maxlen=most) for lane, (most, _) in _WINDOWS.items()}
        self._held_until = dict.fromkeys(Lane, 0.0)
        self._used: dict[Lane, int] = {}
        self._closed_until = 0.0

    @property
    def used_percent(self) -> int | None:
        """Of the tightest limit that the venue's headers told; None when they never did."""
        return max(self._used.values(), default=None)

    async def turn(self, lane: Lane, patience: float) -> None:
        """Waits for the next turn. Raises VenueUnavailable, taking none, when that would be longer
        than `patience` seconds, and while the venue wants to be left alone."""
        wait = self.reserve(lane, patience)
        if wait > 0:
            await asyncio.sleep(wait)

    def reserve(self, lane: Lane, patience: float) -> float:
        """The next turn, as seconds from now."""
        now = self._clock()
        if (left := self._closed_until - now) > 0:
            raise VenueUnavailable("Coinbase wants to be left alone", retry_after=math.ceil(left))
        lanes = (lane, Lane.PRIVATE) if lane is Lane.APP else (lane,)  # one key, both limits
        at = max(now, *(self._next(each) for each in lanes))
        if at - now > patience:
            raise VenueUnavailable("our own limit is reached", retry_after=math.ceil(at - now))
        for each in lanes:
            self._turns[each].append(at)
        return at - now

    def close(self, seconds: float) -> None:
        """Nobody asks for so long."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def heard(self, lane: Lane, headers: Mapping[str, str]) -> None:
        """`x-ratelimit-limit`, `-remaining` and `-reset` (seconds), where they are told."""
        limit, remaining = _number(headers, "limit"), _number(headers, "remaining")
        if limit is None or remaining is None or limit == 0:
            return
        self._used[lane] = 100 * max(0, limit - remaining) // limit
        reset = _number(headers, "reset")
        if remaining == 0 and reset is not None:
            self._held_until[lane] = self._clock() + min(_LONGEST_HOLD, reset)

    def _next(self, lane: Lane) -> float:
        most, seconds = _WINDOWS[lane]
        turns = self._turns[lane]
        free_at = turns[0] + seconds if len(turns) == most else 0.0
        return max(free_at, self._held_until[lane])


def _number(headers: Mapping[str, str], name: str) -> int | None:
    written = headers.get(f"x-ratelimit-{name}", "").strip()
    return int(written) if re.fullmatch(r"[0-9]{1,12}", written, re.ASCII) else None
