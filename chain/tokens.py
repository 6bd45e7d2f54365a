"""What a token says of itself: its decimals, and what it lets a payer sign instead of send
(EIP-2612 permits, EIP-3009 authorizations)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from chain import views
from chain.broadcast import from_any
from chain.domains import domain_separator
from chain.endpoints import Endpoints
from chain.rpc import Rpc
from chain.wire import CALL
from core.errors import ChainError
from core.keccak import keccak, selector

_PERMIT = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
_CALLS = (
    "name()",
    "version()",
    "DOMAIN_SEPARATOR()",
    "authorizationState(address,bytes32)",
    "nonces(address)",
    "PERMIT_TYPEHASH()",
)
_USUAL_VERSION = "1"  # OpenZeppelin's, which has no version()
_NOBODY = bytes(64)  # arguments for whoever asks for an address, or an address and a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """`name` and `version` of the token's EIP-712 domain, checked against its own separator."""

    name: str
    version: str
    authorization: bool
    permit: bool

    def json(self) -> dict[str, Any]:
        return asdict(self)


async def abilities(endpoints: Endpoints, chain_id: int, token: str) -> Abilities | None:
    """None for a token without such a domain: it is paid by allowance. Raises ChainError."""

    async def ask(rpc: Rpc) -> Abilities | None:
        calls = [
            ({"to": token, "data": "0x" + (selector(name) + _NOBODY).hex()}, "latest")
            for name in _CALLS
        ]
        replies = await rpc.replies(CALL, calls)
        return _judged(chain_id, token, *(_bytes(reply.result) for reply in replies))

    return await from_any(endpoints, ask)


def _bytes(result: object) -> bytes:
    """Nothing of a call that failed: the token has no such function."""
    return bytes.fromhex(result[2:]) if isinstance(result, str) else b""


def _judged(
    chain_id: int,
    token: str,
    name: bytes,
    version: bytes,
    separator: bytes,
    state: bytes,
    nonces: bytes,
    typehash: bytes,
) -> Abilities | None:
    called, said = _text(name), _text(version) or _USUAL_VERSION
    if called is None or len(separator) != 32:
        return None
    if separator != domain_separator(called, said, chain_id, token):
        return None
    return Abilities(
        name=called,
        version=said,
        authorization=len(state) == 32,
        permit=len(nonces) == 32 and typehash in (b"", _PERMIT),  # DAI's first one is another
    )


def _text(answer: bytes) -> str | None:
    try:
        found: str = abi_decode(["string"], answer)[0]
    except (DecodingError, ValueError, OverflowError):
        return None
    return found if 0 < len(found) <= 80 and found.isprintable() else None


async def decimals(endpoints: Endpoints, tokens: Sequence[str]) -> dict[str, int | None]:
    """What `decimals()` of each says; None where it says nothing. Raises ChainError."""
    if not tokens:
        return {}
    _, replies, _ = await views.ask(endpoints, [(token, views.DECIMALS) for token in tokens])
    return {token: views.one("uint8", reply) for token, reply in zip(tokens, replies, strict=True)}


async def words(endpoints: Endpoints, contract: str, *calls: bytes) -> list[int]:
    """What views of a contract that return one word say now. Raises ChainError."""

    async def ask(rpc: Rpc) -> list[int]:
        asked = [({"to": contract, "data": "0x" + data.hex()}, "latest") for data in calls]
        answers = await rpc.many(CALL, asked)
        if any(len(answer) != 66 for answer in answers):
            raise ChainError(f"{contract} answered {answers[0][:80]!r} where a word was asked for")
        return [int(answer, 16) for answer in answers]

    return await from_any(endpoints, ask)
