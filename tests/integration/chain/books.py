"""What the tests of chain following stand on: a cursor that applies batches as the database does,
and a second, naive reading of the chain that the books must agree with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chain.blocks import Follower
from chain.decode import number
from chain.types import Batch, Block, Cursor, Movement, Swept
from chain.watch import TRANSFER
from core.networks import NATIVE, Network
from tests.contracts.chain import Chain


@dataclass
class Books:
    """Cursor, blocks and movements of one network. Refuses a batch that does not fit."""

    start: Cursor
    blocks: dict[int, Block] = field(default_factory=dict)
    movements: dict[str, list[Movement]] = field(default_factory=dict)
    sweeps: list[Swept] = field(default_factory=list)
    agreed: dict[str, set[str]] = field(default_factory=dict)
    finalized: int | None = None
    forks: list[int] = field(default_factory=list)

    @property
    def cursor(self) -> Cursor:
        if not self.blocks:
            return self.start
        last = self.blocks[max(self.blocks)]
        return Cursor(last.number, last.hash)

    async def stored(self, height: int) -> str | None:
        if height == self.start.number:
            return self.start.hash
        block = self.blocks.get(height)
        return block.hash if block else None

    async def step(self, follower: Follower) -> Batch | None:
        batch = await follower.next_batch(self.cursor, finalized=self.finalized, stored=self.stored)
        if batch is not None:
            self.apply(batch)
        return batch

    async def follow(self, follower: Follower) -> list[Batch]:
        """Until nothing is new."""
        batches = []
        while (batch := await self.step(follower)) is not None:
            batches.append(batch)
        return batches

    def apply(self, batch: Batch) -> None:
        assert batch.start == self.cursor
        if batch.fork is not None:
            assert self.finalized is None or batch.fork >= self.finalized
            self.forks.append(batch.fork)
            for height in [n for n in self.blocks if n > batch.fork]:
                self.movements.pop(self.blocks.pop(height).hash)
            if batch.fork < self.start.number:
                assert batch.blocks
                self.start = Cursor(batch.fork, batch.blocks[0].parent_hash)
        parent = self.cursor
        for block in batch.blocks:
            assert (block.number, block.parent_hash) == (parent.number + 1, parent.hash)
            parent = Cursor(block.number, block.hash)
            self.blocks[block.number] = block
            self.movements[block.hash] = []
        names = set()
        for m in batch.movements:
            assert m.amount > 0
            assert (m.block_hash, m.tx_hash, m.position) not in names
            names.add((m.block_hash, m.tx_hash, m.position))
            assert self.blocks[m.block_number].hash == m.block_hash
            self.movements[m.block_hash].append(m)
        for block_hash, endpoints in batch.agreed.items():
            self.agreed.setdefault(block_hash, set()).update(endpoints)
        self.sweeps = [s for s in self.sweeps if s.block_hash in self.movements] + [*batch.sweeps]
        assert parent.number <= batch.head
        if batch.finalized is not None:
            self.finalized = max(self.finalized or 0, batch.finalized)

    def all(self) -> list[Movement]:
        return [m for n in sorted(self.blocks) for m in self.movements[self.blocks[n].hash]]

    def to(self, recipient: str) -> list[tuple[str, int]]:
        return [(m.position, m.amount) for m in self.all() if m.recipient == recipient.lower()]

    def assert_equals_chain(self, chain: Chain, network: Network) -> None:
        head = number(chain.rpc("eth_blockNumber"))
        assert self.cursor.number == head
        expected = {}
        for height in range(self.start.number + 1, head + 1):
            expected[height] = naive(chain, network, height)
        found = {n: sorted(map(repr, self.movements[b.hash])) for n, b in self.blocks.items()}
        assert found == {n: sorted(map(repr, m)) for n, m in expected.items()}


def naive(chain: Chain, network: Network, height: int) -> list[Movement]:
    """A block's movements, read one call after the other and by recursion."""
    block = chain.rpc("eth_getBlockByNumber", hex(height), False)
    found: list[Movement] = []

    def add(tx: str, position: str, token: str, sender: str, to: str, amount: int) -> None:
        if amount and sender != to:
            found.append(Movement(height, block["hash"], tx, position, token, sender, to, amount))

    def walk(tx: str, frame: dict[str, Any], path: list[int]) -> None:
        if "error" in frame:
            return
        if frame["type"] in ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT"):
            name = "trace:" + ".".join(map(str, path)) if path else "tx"
            value = int(frame.get("value") or "0x0", 16)
            add(tx, name, NATIVE, frame["from"], frame.get("to") or "", value)
        for i, inner in enumerate(frame.get("calls") or ()):
            walk(tx, inner, [*path, i])

    for tx in block["transactions"]:
        trace = chain.rpc("debug_traceTransaction", tx, {"tracer": "callTracer"})
        walk(tx, trace, [])
        tokens = {t.address for t in network.tokens}
        for log in chain.rpc("eth_getTransactionReceipt", tx)["logs"]:
            if log["address"] in tokens and log["topics"][0] == TRANSFER:
                sender, to = ("0x" + topic[-40:] for topic in log["topics"][1:])
                index = int(log["logIndex"], 16)
                add(tx, f"log:{index}", log["address"], sender, to, int(log["data"], 16))
    return found
