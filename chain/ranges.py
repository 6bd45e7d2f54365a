"""How much one request asks for: grows while answers come fast, shrinks when refused or slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from core.errors import RangeTooLarge, TimedOut

T = TypeVar("T")


ANSWERS_UNTIL_MORE = 16  # at the ceiling, before more than was once refused is tried again


class Range:
    """A size that adapts (CHAIN 1: double when fast, halve when refused or slow).

    `fast` and `slow` are seconds an answer took. After a refusal it stays at half for a while, so
    that a node's fixed limit does not refuse every second request.
    """

    def __init__(self, size: int, *, largest: int, fast: float = 0.5, slow: float = 3.0) -> None:
        self.size = size
        self._largest = largest
        self._ceiling = largest
        self._answers = 0
        self._fast = fast
        self._slow = slow

    def answered(self, asked: int, seconds: float) -> None:
        if seconds > self._slow:
            self.refused(asked)
        elif seconds < self._fast and asked >= self.size:
            self._answers += 1
            if self._answers >= ANSWERS_UNTIL_MORE:
                self._answers = 0
                self._ceiling = min(self._largest, self._ceiling * 2)
            self.size = min(self._ceiling, self.size * 2)

    def refused(self, asked: int) -> None:
        """Half of what was asked: several refusals at a time count once."""
        self._answers = 0
        self.size = max(1, min(self.size, asked // 2))
        self._ceiling = self.size


async def spread(
    first: int,
    last: int,
    sizing: Range,
    fetch: Callable[[int, int], Awaitable[None]],
    *,
    at_once: int = 2,
) -> None:
    """Calls `fetch(a, b)` over pieces that cover first..last once each, several at a time.

    A piece refused with RangeTooLarge is cut in two until it holds one item; then the refusal is
    raised. A timeout is raised at once (two halves could each wait as long), and the next attempt
    asks for less.
    """
    position = first

    async def piece(a: int, b: int) -> None:
        asked = b - a + 1
        started = time.monotonic()
        try:
            await fetch(a, b)
        except RangeTooLarge:
            sizing.refused(asked)
            if asked == 1:
                raise
            middle = a + asked // 2
            await piece(a, middle - 1)
            await piece(middle, b)
        except TimedOut:
            sizing.refused(asked)
            raise
        else:
            sizing.answered(asked, time.monotonic() - started)

    async def worker() -> None:
        nonlocal position
        while position <= last:
            a = position
            b = min(last, a + sizing.size - 1)
            position = b + 1
            await piece(a, b)

    pieces = -(-(last - first + 1) // max(1, sizing.size))
    await together(*(worker() for _ in range(min(at_once, pieces))))


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Runs all at once. The first error ends the others and is raised as it is."""
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
