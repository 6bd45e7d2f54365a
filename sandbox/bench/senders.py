"""Anvil's unlocked accounts as senders of many transactions at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sandbox import contracts
from sandbox.node import Node

GAS = hex(100_000)
RICH = 10**18  # base units of USDC for each account


class Senders:
    """Counts nonces itself: Anvil works on the calls of a batch side by side, and would give two
    transactions of one account the same number."""

    def __init__(self, node: Node, accounts: Sequence[str], nonces: Counter[str]) -> None:
        self.node = node
        self._accounts = accounts
        self._nonces = nonces

    @classmethod
    async def of(cls, node: Node) -> Senders:
        accounts = await node.accounts()
        counts = await node.many([("eth_getTransactionCount", [a, "pending"]) for a in accounts])
        return cls(
            node, accounts, Counter({a: int(c, 16) for a, c in zip(accounts, counts, strict=True)})
        )

    def account(self, number: int) -> str:
        return self._accounts[number % len(self._accounts)]

    def ether(self, number: int, to: str, units: int) -> dict[str, Any]:
        """A transfer by the account of this number."""
        return {"from": self.account(number), "to": to, "value": hex(units), "gas": GAS}

    def token(self, number: int, token: str, to: str, units: int) -> dict[str, Any]:
        data = contracts.call("transfer(address,uint256)", to, units)
        return {"from": self.account(number), "to": token, "data": data, "gas": GAS}

    async def enrich(self, token: str) -> None:
        """Every account mints itself plenty; in the next block."""
        data = [contracts.call("mint(address,uint256)", a, RICH) for a in self._accounts]
        await self.send(
            [
                {"from": a, "to": token, "data": d, "gas": GAS}
                for a, d in zip(self._accounts, data, strict=True)
            ]
        )

    async def send(self, transactions: Sequence[dict[str, Any]]) -> None:
        """Into the pool, in this order for each account."""
        calls = []
        for transaction in transactions:
            nonce = self._nonces[transaction["from"]]
            self._nonces[transaction["from"]] += 1
            calls.append(("eth_sendTransaction", [transaction | {"nonce": hex(nonce)}]))
        await self.node.many(calls)
