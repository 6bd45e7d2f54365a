"""TypeIDs: a prefix that says what, and a UUIDv7 that says when (API 1).

Tables keep the UUID; the prefix is put on at the edge, so a wrong prefix is simply unknown.
"""

from __future__ import annotations

from uuid import UUID

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, lower case, as TypeID asks
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # ten bits at a time
_SHIFTS = range(120, -1, -10)
_VALUE = {c: i for i, c in enumerate(_ALPHABET)}


def new() -> UUID:
    """A UUIDv7 of wall time; later calls in this process compare greater."""
    return UUID(int=uuid_utils.uuid7().int)


def show(prefix: str, value: UUID) -> str:
    """UUID -> `inv_01h...` (26 characters of base 32 after the prefix)."""
    number = value.int
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def read(prefix: str, text: str) -> UUID | None:
    """`inv_01h...` -> UUID; None when it is no id of this kind."""
    if not text.startswith(f"{prefix}_"):
        return None
    body = text[len(prefix) + 1 :]
    if len(body) != 26 or body[0] > "7":
        return None
    number = 0
    for character in body:
        value = _VALUE.get(character)
        if value is None:
            return None
        number = number << 5 | value
    return UUID(int=number)
