"""The values around a repeated write; the statement that stores the answer is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key in its scope: (merchant or house, route, key), and the body's hash."""

    scope: UUID
    route: str
    key: str
    fingerprint: bytes  # SHA-256 of the canonical body


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answered, byte for byte."""

    status: int
    body: bytes
    replayed: bool = False
