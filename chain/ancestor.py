"""Walks back to the last block that a fork left standing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chain.decode import number
from chain.reader import Reader
from chain.types import Cursor
from chain.wire import Header
from core.errors import ForkBelowFinalized, Inconsistent

Stored = Callable[[int], Awaitable[str | None]]

FIRST_STEP_BLOCKS = 16
BLIND_MAX_BLOCKS = 64  # how deep a fork may reach below what is stored while nothing is final


async def common_ancestor(
    reader: Reader,
    head: Header,
    cursor: Cursor,
    *,
    finalized: int | None,
    stored: Stored,
    network: str,
) -> Cursor:
    """The highest block at or below the cursor that the chain of `head` and we have in common.

    The headers on the way are linked to each other (and to the head, when it is near), so that
    one wrong answer is no fork but Inconsistent. Where nothing is stored at a height we never
    followed it: all above it is replaced. Raises ForkBelowFinalized rather than go deeper.
    """
    top = number(head.number)
    high = min(top, cursor.number + 1)
    step = FIRST_STEP_BLOCKS
    above = None if top > high else head.hash  # what the next header down must have as its hash
    while high >= 0:
        low = max(0, high - step + 1)
        if finalized is not None:
            low = min(high, max(low, finalized))
        headers = await reader.headers(low, high)
        if above is not None and headers[-1].hash != above:
            raise Inconsistent(f"{network}: {headers[-1].hash} at {high}, not {above}")
        for header in reversed(headers):
            n = number(header.number)
            if n > cursor.number:
                continue
            if finalized is not None and n < finalized:
                raise ForkBelowFinalized(network, finalized)
            held = cursor.hash if n == cursor.number else await stored(n)
            if held == header.hash:
                return Cursor(n, header.hash)
            if held is None:
                if finalized is None and cursor.number - n > BLIND_MAX_BLOCKS:
                    raise ForkBelowFinalized(network, n)
                return Cursor(n, header.hash)
        if finalized is not None and low <= finalized:
            raise ForkBelowFinalized(network, finalized)
        above = headers[0].parentHash
        high = low - 1
        step *= 2
    raise ForkBelowFinalized(network, 0)  # another genesis
