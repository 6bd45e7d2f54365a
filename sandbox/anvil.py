"""One Anvil of the sandbox: started, restarted with its state, compared with the books."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from core.errors import BezantError, EndpointFailed
from sandbox.contracts import ROOT
from sandbox.node import Node
from sandbox.processes import Child, free_port

START_SECONDS = 30
SAVE_SECONDS = 5  # what a killed Anvil may lose; asked to stop it loses nothing
# In memory, none on disk: by itself Anvil 1.7.1 keeps ten states of a chain of some 1,100 blocks in
# memory, and an anvil_reorg below them loses every contract without a word.
STATES_KEPT = 1500
NPM_BINARY = ROOT / "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"


def binary() -> str:
    """The anvil on PATH, else npm's. Raises BezantError."""
    found = shutil.which("anvil") or (str(NPM_BINARY) if NPM_BINARY.exists() else None)
    if found is None:
        raise BezantError("Anvil is missing: run make setup, or install Foundry")
    return found


class Anvil:
    """A node with its own state file. `now` gives the domain's time in unix seconds.

    `genesis` (unix seconds) must be the same at each start: Anvil makes block 0 anew before it
    loads its state, and two of them would both be kept.
    """

    def __init__(
        self, chain_id: int, genesis: int, state: Path, log: Path, now: Callable[[], int]
    ) -> None:
        self.chain_id = chain_id
        self._now = now
        port = free_port()
        self.node = Node(f"http://127.0.0.1:{port}")
        arguments = [
            binary(), "--silent", "--host", "127.0.0.1", "--port", str(port),
            "--chain-id", str(chain_id), "--timestamp", str(genesis),
            "--state", str(state), "--state-interval", str(SAVE_SECONDS),
            "--prune-history", str(STATES_KEPT),
        ]  # fmt: skip
        self.child = Child(f"anvil {chain_id}", arguments, log)

    async def start(self) -> None:
        """At a port that stays the same from the first start on."""
        await self.child.start()
        await self._wait()
        # Neither impersonation nor its idea of the time is part of its state.
        await self.node.open_faucet()
        await self.node.set_time(self._now())

    async def _wait(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                if int(await self.node.call("eth_chainId"), 16) == self.chain_id:
                    return
            except EndpointFailed:
                if not self.child.running or asyncio.get_running_loop().time() > deadline:
                    raise BezantError(f"Anvil did not start:\n{self.child.tail()}") from None
            await asyncio.sleep(0.05)


async def check_same_chain(node: Node, network: str, genesis: str, number: int, hash_: str) -> None:
    """Raises BezantError when the books followed another chain than the one that was kept."""
    if await node.block_hash(0) != genesis or await node.block_hash(number) != hash_:
        raise BezantError(
            f"the database has followed {network} up to block {number} ({hash_[:10]}...), and the"
            " kept chain does not have it: start with --fresh, or bring back the data directory"
        )
