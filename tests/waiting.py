"""Waiting for a condition where no event tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], Awaitable[bool]], seconds: float = 5, *, pause: float = 0.01
) -> None:
    """Returns when the condition holds; `pause` seconds between two looks. Raises AssertionError
    after the deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(pause)
