"""What a token says of a payer's EIP-3009 authorization."""

from __future__ import annotations

from dataclasses import dataclass

from chain.endpoints import Endpoints
from chain.tokens import words
from core.keccak import selector

_STATE = selector("authorizationState(address,bytes32)")
_BALANCE = selector("balanceOf(address)")


@dataclass(frozen=True, slots=True)
class Standing:
    """`used`: sent already, or cancelled. `balance` in base units."""

    used: bool
    balance: int


async def standing(endpoints: Endpoints, token: str, payer: str, nonce: str) -> Standing:
    """At the head; `nonce` is 32 bytes in 0x hex. Raises ChainError."""
    holder = bytes.fromhex(payer[2:]).rjust(32, b"\0")
    used, balance = await words(
        endpoints, token, _STATE + holder + bytes.fromhex(nonce[2:]), _BALANCE + holder
    )
    return Standing(bool(used), balance)
