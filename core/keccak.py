"""Keccak-256, by C code: what web3 brings along (pycryptodome, over cffi) takes ten times as long,
and every deposit address, checksum and bloom filter is one."""

from __future__ import annotations

from sha3 import keccak_256


def keccak(data: bytes) -> bytes:
    """32 bytes."""
    digest: bytes = keccak_256(data).digest()
    return digest


def selector(signature: str) -> bytes:
    """The four bytes by which calldata says what it calls: `transfer(address,uint256)`."""
    return keccak(signature.encode())[:4]
