"""The domain's time (DESIGN 6): expiry, retry schedule, age of prices.

In the sandbox an offset, one row read by every process, moves it. Wall time stays wall time for
signatures, TLS, leases and heartbeats: those call `wall()`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


def wall() -> datetime:
    """Wall time, UTC."""
    return datetime.now(UTC)


def show(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`; fractions only where there are some (milliseconds)."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace(".000+00:00", "Z").replace("+00:00", "Z")


class Clock:
    """Wall time plus an offset; sleepers are woken when the offset moves."""

    def __init__(self) -> None:
        self._offset = timedelta()
        self._moved: asyncio.Event | None = None

    @property
    def offset(self) -> timedelta:
        return self._offset

    def now(self) -> datetime:
        return wall() + self._offset

    def set_offset(self, offset: timedelta) -> None:
        if offset != self._offset:
            self._offset = offset
            if self._moved is not None:
                self._moved.set()
                self._moved = None

    async def moved(self) -> None:
        """Returns when the offset has changed."""
        if self._moved is None:
            self._moved = asyncio.Event()
        await self._moved.wait()
