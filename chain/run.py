"""Reads a run of linked blocks up to a head: spans side by side for speed, taken in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from chain.decode import number
from chain.reader import Reader, linked
from chain.types import Cursor, Movement, Paid, Swept
from chain.wire import Header
from core.errors import ChainError

SPAN_BLOCKS = 200  # read together: one JSON batch of headers, where the endpoint lets us
SPANS_AT_ONCE = 4
TAIL_BLOCKS = 64  # below the head: read by block hash


@dataclass(slots=True)
class Run:
    """Linked headers, ascending, and all that moved in them, in chain order."""

    headers: list[Header] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    sweeps: list[Swept] = field(default_factory=list)
    payments: list[Paid] = field(default_factory=list)

    def take(self, more: Run) -> None:
        self.headers += more.headers
        self.movements += more.movements
        self.sweeps += more.sweeps
        self.payments += more.payments


def spans(first: int, last: int, top: int) -> Iterator[tuple[int, int]]:
    """Pieces that cover first..last, none across the border of the tail."""
    while first <= last:
        end = min(last, first + SPAN_BLOCKS - 1)
        if first <= top - TAIL_BLOCKS < end:
            end = top - TAIL_BLOCKS
        yield first, end
        first = end + 1


async def read_run(
    reader: Reader,
    start: Cursor,
    head: Header,
    last: int,
    *,
    whole_until: int,
    movements_max: int,
) -> Run:
    """The blocks after `start` up to height `last`, on the chain of `head`.

    May end early, never with a gap: after a failure further on (which shows again on the next
    read) or when it holds more than `movements_max`, but not below height `whole_until`. Raises
    what the endpoint's answers deserve.
    """
    top = number(head.number)
    run = Run()
    ahead = spans(start.number + 1, last, top)
    tasks: deque[asyncio.Task[Run]] = deque()

    def begin() -> None:
        if (piece := next(ahead, None)) is not None:
            tasks.append(asyncio.ensure_future(_read_span(reader, head, top, *piece)))

    for _ in range(SPANS_AT_ONCE):
        begin()
    parent_hash = start.hash
    try:
        while tasks:
            enough = bool(run.headers) and number(run.headers[-1].number) >= whole_until
            if enough and len(run.movements) > movements_max:
                break
            try:
                more = await tasks.popleft()
                linked(more.headers, parent_hash)
            except ChainError:
                if enough:
                    break
                raise
            run.take(more)
            parent_hash = more.headers[-1].hash
            begin()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return run


async def _read_span(reader: Reader, head: Header, top: int, first: int, last: int) -> Run:
    if last == top:
        headers = [*(await reader.headers(first, last - 1)), head]
        linked(headers)
    else:
        headers = await reader.headers(first, last)
    contents = await reader.contents(headers, by_hash=first > top - TAIL_BLOCKS)
    return Run(headers, *contents)
