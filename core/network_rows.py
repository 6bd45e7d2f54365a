"""Rows of one network as a queue (see Rows)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.context import Context
from core.networks import Network
from core.rows import Rows


class NetworkRows(Rows):
    """`claiming` is given the network's id as well."""

    def __init__(
        self, context: Context, network: Network, *, parallel: int, poll_seconds: float
    ) -> None:
        super().__init__(context, parallel=parallel, poll_seconds=poll_seconds, of=network.id)
        self._network = network

    def values(self, now: datetime) -> dict[str, Any]:
        return {"network": self._network.id, **super().values(now)}
