"""One network as a test knows it that forks it: it must know what stood above."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.world import Node


@dataclass
class Sent:
    """A transaction of ours that is on a chain, or was."""

    raw: str
    sender: int
    nonce: int
    block: int


@dataclass
class Branch:
    """`base`: nothing below is ever forked away, the contracts stand there. Snapshots are Anvil's,
    each with its height."""

    node: Node
    base: int
    sent: list[Sent] = field(default_factory=list)
    lost: list[Sent] = field(default_factory=list)
    snapshots: list[tuple[str, int]] = field(default_factory=list)

    async def note(self, tx_hash: str, sender: int) -> None:
        receipt = await self.node.receipt(tx_hash)
        count = await self.node.rpc("eth_getTransactionCount", self.node.accounts[sender], "latest")
        raw, block = await self.node.raw(tx_hash), int(receipt["blockNumber"], 16)
        self.sent.append(Sent(raw, sender, int(count, 16) - 1, block))

    def cut(self, above: int) -> list[Sent]:
        """Forgets what stood above a block; returns it in its order."""
        gone = [s for s in self.sent if s.block > above]
        self.sent = [s for s in self.sent if s.block <= above]
        self.snapshots = [s for s in self.snapshots if s[1] <= above]
        return gone

    async def snapshot(self) -> None:
        async with self.node.still():
            self.snapshots.append((await self.node.rpc("evm_snapshot"), await self.node.head()))

    async def back(self, which: int) -> int | None:
        """To one of the snapshots, which is gone then; its height."""
        if not self.snapshots:
            return None
        at = which % len(self.snapshots)
        name, height = self.snapshots[at]
        self.snapshots = self.snapshots[:at]
        async with self.node.still():  # a block that is half made would stand on one that is gone
            assert await self.node.rpc("evm_revert", name)
        return height

    async def other(self, miner: int, blocks: int) -> None:
        """Blocks that the same transactions cannot make again."""
        await self.node.rpc("anvil_setCoinbase", f"0x{miner:040x}")
        await self.node.mine(blocks)

    async def blocks(self, above: int) -> list[dict[str, Any]]:
        """With their transactions' signed bytes."""
        found = []
        for number in range(above + 1, await self.node.head() + 1):
            block = await self.node.rpc("eth_getBlockByNumber", hex(number), False)
            raws = [await self.node.raw(sent) for sent in block["transactions"]]
            found.append(block | {"transactions": raws, "hashes": block["transactions"]})
        return found

    async def again(self, blocks: list[dict[str, Any]]) -> None:
        """The very same blocks: time, miner and transactions make their hashes. Of several in a
        block the fees decide which is first: then it is another one with the same payments."""
        await self.node.rpc("evm_setAutomine", False)
        try:
            for block in blocks:
                await self._again(block)
        finally:
            await self.node.rpc("evm_setAutomine", True)

    async def _again(self, block: dict[str, Any]) -> None:
        await self.node.rpc("anvil_setCoinbase", block["miner"])
        await self.node.rpc("evm_setNextBlockTimestamp", int(block["timestamp"], 16))
        # Else it would go on from what was taken back.
        await self.node.rpc("anvil_setNextBlockBaseFeePerGas", block["baseFeePerGas"])
        for raw in block["transactions"]:
            await self.node.rpc("eth_sendRawTransaction", raw)
        await self.node.rpc("evm_mine")
        made = await self.node.rpc("eth_getBlockByNumber", block["number"], False)
        assert sorted(made["transactions"]) == sorted(block["hashes"]), (made, block)
        if len(block["hashes"]) < 2 and made["parentHash"] == block["parentHash"]:
            assert made["hash"] == block["hash"], (made, block)
