"""Where a chain loop and the deliverer of the same process meet.

What a block makes due is leased for that deliverer by the very statement that stores it, so that
between the commit and the POST nothing is asked. The lease is one like any other: if this process
dies, or its deliverer is gone by then, another one takes over when it has run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from webhooks.queue import Due


@dataclass(frozen=True, slots=True)
class Lease:
    """An offer to send at once: `room` deliveries of each endpoint until `until` (wall time), none
    of those in `busy`, who have their own order to keep."""

    until: datetime
    busy: Sequence[UUID] = ()
    room: int = 0


class Sender(Protocol):
    """The deliverer, as far as it is met here."""

    def offer(self) -> Lease: ...

    def take(self, rows: Sequence[Due]) -> None: ...


class Desk:
    """`sender` is whoever delivers in this process at the moment."""

    def __init__(self) -> None:
        self.sender: Sender | None = None

    def offer(self) -> Lease | None:
        """None while nobody delivers here."""
        return self.sender.offer() if self.sender else None

    def take(self, rows: Sequence[Due]) -> None:
        """After the commit that leased them."""
        if rows and self.sender:
            self.sender.take(rows)
