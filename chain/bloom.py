"""The header's logsBloom (Yellow Paper 4.4.3): 2,048 bits, three per address and topic.

It never denies what is there, so it tells when an answer without logs must be looked at twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from core.keccak import keccak


@lru_cache(maxsize=8192)
def bits(value: str) -> int:
    """The bits of an address or topic, given as 0x hex."""
    digest = keccak(bytes.fromhex(value[2:]))
    mask = 0
    for i in (0, 2, 4):
        mask |= 1 << (((digest[i] << 8) | digest[i + 1]) & 2047)
    return mask


def mask(*values: str) -> int:
    """All bits that a log with these (its address and some topics) sets."""
    both = 0
    for value in values:
        both |= bits(value)
    return both


def of_logs(logs: Iterable[tuple[str, Iterable[str]]]) -> int:
    """The bloom of logs, each given as its address and topics."""
    bloom = 0
    for address, topics in logs:
        bloom |= mask(address, *topics)
    return bloom
