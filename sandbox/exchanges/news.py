"""What happens at a venue, told to whoever listens now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sandbox.exchanges.types import SimEvent

LONGEST = 10_000  # who is so far behind loses the rest: a stream that nobody reads


class News:
    """Everybody gets everything, in order."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[SimEvent]] = set()

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[SimEvent]]:
        queue: asyncio.Queue[SimEvent] = asyncio.Queue(LONGEST)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def tell(self, events: Iterable[SimEvent]) -> None:
        for event in events:
            for queue in self._queues:
                if not queue.full():
                    queue.put_nowait(event)
