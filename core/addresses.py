"""Ethereum addresses as people see them. Tables and code hold them in lower case."""

from __future__ import annotations

from functools import lru_cache

from core.keccak import keccak


@lru_cache(maxsize=4096)  # an invoice shows its address once for each of its options
def checksum(address: str) -> str:
    """Lower-case 0x hex -> EIP-55."""
    digest = keccak(address[2:].encode()).hex()
    return "0x" + "".join(
        character.upper() if nibble >= "8" else character
        for character, nibble in zip(address[2:], digest, strict=False)
    )
