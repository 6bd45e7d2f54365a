"""A loop that fails begins again; the others never notice."""

from __future__ import annotations

import asyncio

import pytest

from bezant import worker


async def test_a_failing_loop_is_started_again() -> None:
    starts = 0
    enough = asyncio.Event()

    async def failing() -> None:
        nonlocal starts
        starts += 1
        if starts == 3:
            enough.set()
            await asyncio.Event().wait()
        if starts == 2:
            return  # one that ends is as wrong as one that raises
        raise RuntimeError("on purpose")

    task = asyncio.create_task(worker.keep("failing", failing, first_pause=0))
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert starts == 3
