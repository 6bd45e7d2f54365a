"""Reorganisations on command, with the transactions coming back or not."""

from __future__ import annotations

import secrets
from typing import Any

from core.errors import Invalid
from sandbox.node import Node

_REQUEST = ("from", "to", "value", "gas", "nonce", "input", "maxFeePerGas", "maxPriorityFeePerGas")


async def reorg(node: Node, depth: int, *, keep_transactions: bool, now: int) -> dict[str, Any]:
    """Replaces the last `depth` blocks by as many others. Raises Invalid, EndpointFailed.

    Kept transactions return with the hash they had, at the same height in a block of another
    hash. What is sent meanwhile waits for the next block: Anvil would mine it in the midst of the
    fork, on top of what the fork takes back, and have a nonce in a block before the one that it
    follows. `now` is the clock in unix seconds: Anvil forgets its offset when the block that
    brought it is gone.
    """
    # Another miner, else the same transactions at the same second make the very same block again.
    miner, mines = await node.many([("eth_coinbase", []), ("anvil_getAutomine", [])])
    await node.call("evm_setAutomine", False)
    try:
        head = await node.height()
        if depth > head:
            raise Invalid.of("depth", f"is at most the chain's height, {head}")
        kept = await _transactions(node, head, depth) if keep_transactions else []
        await node.call("anvil_setCoinbase", "0x" + secrets.token_hex(20))
        await node.call("anvil_reorg", depth, kept)
    finally:
        await node.call("anvil_setCoinbase", miner)
        await node.call("evm_setAutomine", mines)
    await node.set_time(now)
    height = await node.height()
    return {"height": height, "hash": await node.block_hash(height), "transactions": len(kept)}


async def _transactions(node: Node, head: int, depth: int) -> list[list[Any]]:
    """[transaction, offset of its new block] of the last `depth` blocks, in order."""
    blocks = await node.many(
        [("eth_getBlockByNumber", [hex(n), True]) for n in range(head - depth + 1, head + 1)]
    )
    found: list[list[Any]] = []
    for offset, block in enumerate(blocks):
        for transaction in block["transactions"]:
            if int(transaction["r"], 16):
                raw = await node.call("eth_getRawTransactionByHash", transaction["hash"])
                found.append([raw, offset])
            else:  # sent by an account without a key (ours): there is no signature to recover
                found.append([{key: transaction[key] for key in _REQUEST}, offset])
    return found
