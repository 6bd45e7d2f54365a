"""Reorganisations on command, with the transactions coming back or not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.errors import Invalid
from sandbox.node import Node

STILL_SECONDS = 0.1  # without a new block: what waits then is too cheap for any
_REQUEST = ("from", "to", "value", "gas", "nonce", "input", "maxFeePerGas", "maxPriorityFeePerGas")


async def reorg(node: Node, depth: int, *, keep_transactions: bool, now: int) -> dict[str, Any]:
    """Replaces the last `depth` blocks by as many others. Raises Invalid, EndpointFailed.

    Kept transactions return with the hash they had, at the same height in a block of another
    hash. `now` is the clock in unix seconds: Anvil forgets its offset when the block that brought
    it is gone.
    """
    async with undisturbed(node):
        head = await node.height()
        if depth > head:
            raise Invalid.of("depth", f"is at most the chain's height, {head}")
        kept = await _transactions(node, head, depth) if keep_transactions else []
        # Another miner, else the same transactions in a second make the very same block again.
        miner = await node.call("eth_coinbase")
        await node.call("anvil_setCoinbase", "0x" + secrets.token_hex(20))
        try:
            await node.call("anvil_reorg", depth, kept)
        finally:
            await node.call("anvil_setCoinbase", miner)
    await node.set_time(now)
    height = await node.height()
    return {"height": height, "hash": await node.block_hash(height), "transactions": len(kept)}


@asynccontextmanager
async def undisturbed(node: Node) -> AsyncIterator[None]:
    """Anvil begins no block inside, and those that it had begun are there: it would mine in the
    midst of a fork, on top of what the fork takes back, and have a nonce in a block before the one
    that it follows. What is sent meanwhile waits for the next block."""
    mines = await node.call("anvil_getAutomine")
    await node.call("evm_setAutomine", False)
    try:
        before = -1
        while int((await node.call("txpool_status"))["pending"], 16):
            if (head := await node.height()) == before:
                break
            before = head
            await asyncio.sleep(STILL_SECONDS)
        yield
    finally:
        await node.call("evm_setAutomine", mines)


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
