"""An Anvil node over plain JSON-RPC: what a sandbox does to a chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from core.errors import EndpointFailed

# Pays for deployments, minting and feeds, so that Anvil's ten accounts stay as the tester left
# them. Its key exists nowhere: Anvil impersonates it.
FAUCET = "0x000000000000000000000000000000000000fa0c"
GAS = hex(15_000_000)
TIMEOUT_SECONDS = 30
TRIES = 20
SAME_NONCE = ("replacement transaction underpriced", "nonce too low", "already imported")

Request = tuple[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Node:
    """A node by its URL. Every method raises EndpointFailed when it refuses or is away.

    `session`: connections that whoever asks often keeps open; else each question opens its own.
    """

    url: str
    session: aiohttp.ClientSession | None = field(default=None, compare=False, repr=False)

    async def call(self, method: str, *params: Any) -> Any:
        return (await self.many([(method, params)]))[0]

    async def many(self, requests: Sequence[Request]) -> list[Any]:
        """Several calls in one HTTP request, answered in order."""
        if not requests:
            return []
        body = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
            for i, (method, params) in enumerate(requests)
        ]
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with (
                self._connections() as session,
                session.post(self.url, json=body, timeout=timeout) as response,
            ):
                replies = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise EndpointFailed(f"{self.url}: {type(error).__name__}") from error
        results: list[Any] = [None] * len(requests)
        for reply in replies:
            if "error" in reply:
                raise EndpointFailed(f"{body[reply['id']]['method']}: {reply['error']['message']}")
            results[reply["id"]] = reply["result"]
        return results

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self.session is not None:
            yield self.session
            return
        async with aiohttp.ClientSession() as session:
            yield session

    async def send(self, transactions: Sequence[dict[str, Any]]) -> list[str]:
        """Sends from unlocked accounts, one after the other. Raises if one reverted."""
        hashes = [await self._send(transaction) for transaction in transactions]
        receipts = await self.many([("eth_getTransactionReceipt", [h]) for h in hashes])
        for hash_, receipt in zip(hashes, receipts, strict=True):
            if receipt is not None and int(receipt["status"], 16) != 1:
                raise EndpointFailed(f"transaction {hash_} reverted")
        return hashes

    async def _send(self, transaction: dict[str, Any]) -> str:
        """Anvil chooses the nonce, and may give the same one to two callers: the later one's
        transaction is refused, so nothing was sent, and it is asked again."""
        for _ in range(TRIES):
            try:
                return str(await self.call("eth_sendTransaction", transaction))
            except EndpointFailed as error:
                if not any(text in str(error) for text in SAME_NONCE):
                    raise
                last = error
        raise last

    async def send_as_faucet(self, calls: Sequence[tuple[str, str]]) -> list[str]:
        """`calls` are (contract, calldata)."""
        return await self.send(
            [{"from": FAUCET, "to": to, "data": data, "gas": GAS} for to, data in calls]
        )

    async def open_faucet(self) -> None:
        """After each start of the node: impersonation is not part of its state."""
        await self.many(
            [
                ("anvil_setBalance", [FAUCET, hex(10**30)]),
                ("anvil_impersonateAccount", [FAUCET]),
            ]
        )

    async def read(self, to: str, data: str) -> bytes:
        answer = await self.call("eth_call", {"to": to, "data": data}, "latest")
        return bytes.fromhex(answer[2:])

    async def accounts(self) -> list[str]:
        """Anvil's ten, unlocked."""
        return [account.lower() for account in await self.call("eth_accounts")]

    async def height(self) -> int:
        return int(await self.call("eth_blockNumber"), 16)

    async def block_hash(self, number: int) -> str | None:
        block = await self.call("eth_getBlockByNumber", hex(number), False)
        return None if block is None else str(block["hash"])

    async def mine(self, blocks: int) -> None:
        """All at the node's own time: it does not run ahead of the clock."""
        await self.call("anvil_mine", hex(blocks), "0x0")

    async def set_time(self, timestamp: int) -> None:
        """Unix seconds for the blocks to come; nothing is mined."""
        await self.call("anvil_setTime", hex(timestamp))
