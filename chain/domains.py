"""Domains of signed data (EIP-712)."""

from __future__ import annotations

from eth_abi.abi import encode

from core.keccak import keccak

_DOMAIN = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


def domain_separator(name: str, version: str, chain_id: int, contract: str) -> bytes:
    """Of a domain with these four fields."""
    hashes = [_DOMAIN, keccak(name.encode()), keccak(version.encode())]
    return keccak(b"".join(hashes) + encode(["uint256", "address"], [chain_id, contract]))
