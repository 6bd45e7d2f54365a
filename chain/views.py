"""What views of contracts answer now: many at one block hash, in one batch of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from chain.endpoints import Endpoint, Endpoints
from chain.rpc import classify
from chain.wire import BLOCK_BY_NUMBER, CALL, Header, Reply
from core.errors import BlockUnknown, ChainError, EndpointFailed
from core.keccak import selector


def plain(signature: str) -> str:
    """Calldata of a view without arguments."""
    return "0x" + selector(signature).hex()


DECIMALS = plain("decimals()")
_REVERTED = ("revert", "out of gas", "invalid opcode", "stack")  # the contract's, not the node's


async def ask(
    endpoints: Endpoints, calls: Sequence[tuple[str, str]]
) -> tuple[Header, list[Reply[str]], Endpoint]:
    """(address, calldata) pairs, all at the endpoint's newest block, by its hash (EIP-1898).

    A contract that reverts is an answer; a node that fails is blamed and the next one asked.
    """
    refusal: ChainError = EndpointFailed(f"{endpoints.network.id}: no endpoint is configured")
    for endpoint in endpoints.ranked():
        try:
            await endpoints.check_chain(endpoint)
            header = await endpoint.rpc.call(BLOCK_BY_NUMBER, "latest", False)
            if header is None:
                raise BlockUnknown(f"{endpoints.network.id} {endpoint.name}: no newest block")
            at = {"blockHash": header.hash}
            replies = await endpoint.rpc.replies(
                CALL, [({"to": a, "data": d}, at) for a, d in calls]
            )
            for reply in replies:
                _blame(endpoint, reply)
        except ChainError as error:
            endpoints.failed(endpoint, error)
            refusal = error
            continue
        endpoints.succeeded(endpoint)
        return header, replies, endpoint
    raise refusal


def _blame(endpoint: Endpoint, reply: Reply[str]) -> None:
    """Raises when a refusal is the node's (a limit, an unknown block) and not the contract's."""
    if reply.error is None:
        return
    # 3 is geth's code for a revert with data
    if reply.error.code == 3 or any(w in reply.error.message.lower() for w in _REVERTED):
        return
    error, _ = classify(reply.error)
    raise error(f"{endpoint.name}: eth_call: {reply.error.message[:200]}")


def answered(reply: Reply[str]) -> bytes | None:
    """None where the contract reverted."""
    if reply.error is not None or not isinstance(reply.result, str):
        return None
    try:
        return bytes.fromhex(reply.result.removeprefix("0x"))
    except ValueError:
        return None


def one(kind: str, reply: Reply[str]) -> Any:
    """The answer of a function that returns one value; None where it is none."""
    data = answered(reply)
    try:
        return decode([kind], data)[0] if data else None
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None
