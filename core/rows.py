"""Rows as a queue: leased by one statement, worked on one by one (DESIGN 1, decision 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, LiteralString
from uuid import UUID

from core.clock import wall
from core.context import Context
from core.work import Worker


class Rows(ABC):
    """Any number of workers may do this at once.

    `claiming` is given `values` and `limit`; it leases that many rows at most until
    `leased_until` and returns their ids. `channel` wakes.
    """

    name: ClassVar[str]
    channel: ClassVar[str]
    claiming: ClassVar[LiteralString]
    lease_seconds: float = 30

    def __init__(
        self, context: Context, *, parallel: int, poll_seconds: float, of: str | None = None
    ) -> None:
        """`of`: what else names it in the logs."""
        self._context = context
        self._worker = Worker(
            f"{self.name} {of}" if of else self.name,
            self.claim,
            self.step,
            parallel=parallel,
            poll_seconds=poll_seconds,
        )

    async def run(self) -> None:
        """Works until cancelled."""
        async with self._context.listener.subscribe(self.channel) as notified:
            await self._worker.run(notified, self._context.clock)

    async def claim(self, limit: int) -> Sequence[UUID]:
        """Leases up to `limit` rows that are due."""
        values = {**self.values(wall()), "limit": limit}
        async with self._context.database.statement() as connection:
            cursor = await connection.execute(self.claiming, values)
            return [row[0] for row in await cursor.fetchall()]

    def values(self, now: datetime) -> dict[str, Any]:
        """What `claiming` names. Leases are wall time, `now`; what is due is the domain's."""
        return {
            "now": self._context.clock.now(),
            "wall": now,
            "leased_until": now + timedelta(seconds=self.lease_seconds),
        }

    @abstractmethod
    async def step(self, row_id: UUID) -> None:
        """Whatever a row needs now; happening twice does no harm."""
