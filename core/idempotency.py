"""The values around a repeated write; the statement that stores the answer is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.singleton import lock_number


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key in its scope: (merchant or house, route, key), and the body's hash."""

    scope: UUID
    route: str
    key: str
    fingerprint: bytes  # SHA-256 of the canonical body

    @property
    def lock(self) -> int:
        """The advisory lock that one execution of this write holds."""
        return lock_number(f"once:{self.scope}:{self.route}:{self.key}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answered, byte for byte."""

    status: int
    body: bytes
    replayed: bool = False
