"""How often Coinbase may be asked: windows, its headers, and Retry-After for the whole venue.

Documented: 30 requests a second for a user, 10 for public data of one address; Coinbase App (v2)
10,000 an hour for a key. When it is busy it may allow less, which its headers tell. One process
counts for itself.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
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


WINDOWS = {Lane.PRIVATE: (30, 1.0), Lane.PUBLIC: (10, 1.0), Lane.APP: (10_000, 3600.0)}


class Pace:
    """Lets requests go. One event loop's. `windows`: so many requests in so many seconds.

    A permit comes back a window after its answer. The request arrived before that, so the venue
    never sees more in any window, however long requests are on their way.
    """

    def __init__(self, windows: Mapping[Lane, tuple[int, float]] = WINDOWS) -> None:
        self._seconds = {lane: seconds for lane, (_, seconds) in windows.items()}
        self._documented = {lane: most for lane, (most, _) in windows.items()}
        self._allowed = dict(self._documented)
        self._permits = {lane: asyncio.Semaphore(most) for lane, (most, _) in windows.items()}
        self._surplus = dict.fromkeys(windows, 0)  # permits that are not given out any more
        self._held_until = dict.fromkeys(windows, 0.0)
        self._used: dict[Lane, int] = {}
        self._closed_until = 0.0

    @property
    def used_percent(self) -> int | None:
        """Of the tightest limit that the venue's headers told; None when they never did."""
        return max(self._used.values(), default=None)

    @asynccontextmanager
    async def turn(self, lane: Lane, patience: float) -> AsyncIterator[None]:
        """Around one request. Raises VenueUnavailable, before it, when its turn does not come
        within `patience` seconds and while the venue wants to be left alone."""
        self._check_open()
        lanes = (lane, Lane.PRIVATE) if lane is Lane.APP else (lane,)  # one key, both limits
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(patience):
                    for each in lanes:
                        await stack.enter_async_context(self._permit(each))
                        await asyncio.sleep(max(0.0, self._held_until[each] - time.monotonic()))
            except TimeoutError:
                raise VenueUnavailable("our own limit is reached", retry_after=1) from None
            self._check_open()
            yield

    def close(self, seconds: float) -> None:
        """Nobody asks for so long."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    def heard(self, lane: Lane, headers: Mapping[str, str]) -> None:
        """`x-ratelimit-limit`, `-remaining` and `-reset` (seconds), where they are told."""
        limit, remaining = _number(headers, "limit"), _number(headers, "remaining")
        if not limit:
            return
        if lane is not Lane.APP:  # of what its headers count nothing is documented
            self._allow(lane, limit)
        if remaining is None:
            return
        self._used[lane] = 100 * max(0, limit - remaining) // limit
        reset = _number(headers, "reset")
        if remaining == 0 and reset is not None:
            self._held_until[lane] = time.monotonic() + min(_LONGEST_HOLD, reset)

    def _allow(self, lane: Lane, told: int) -> None:
        """Never more than what is documented."""
        allowed = min(told, self._documented[lane])
        self._surplus[lane] += self._allowed[lane] - allowed
        self._allowed[lane] = allowed
        for _ in range(-self._surplus[lane]):
            self._surplus[lane] += 1
            self._permits[lane].release()

    @asynccontextmanager
    async def _permit(self, lane: Lane) -> AsyncIterator[None]:
        permits = self._permits[lane]
        await permits.acquire()
        while self._surplus[lane]:
            self._surplus[lane] -= 1  # this one is kept
            await permits.acquire()
        try:
            yield
        finally:
            asyncio.get_running_loop().call_later(self._seconds[lane], permits.release)

    def _check_open(self) -> None:
        if (left := self._closed_until - time.monotonic()) > 0:
            raise VenueUnavailable("Coinbase wants to be left alone", retry_after=math.ceil(left))


def _number(headers: Mapping[str, str], name: str) -> int | None:
    written = headers.get(f"x-ratelimit-{name}", "").strip()
    return int(written) if re.fullmatch(r"[0-9]{1,12}", written, re.ASCII) else None
