"""Follows one Anvil for all venues: deposits that arrive, prices of the feeds, withdrawals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eth_abi.exceptions import DecodingError

from core.errors import EndpointFailed
from exchanges.numbers import ONE
from sandbox import feeds
from sandbox.exchanges.engine import Simulator, now_ms
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.types import SimDeposit, SimNetworkRule, TransferStatus
from sandbox.node import Node
from sandbox.world import CONFIRMATIONS, FEED_DECIMALS

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
REWIND = 64  # blocks that are looked at again when the one that was counted from is gone
TRACES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block."""

    number: int
    hash: str


class ChainWatch:
    """`prices` are feeds by pair (`ETH/USD`) that venues follow; empty: another network's are."""

    def __init__(
        self,
        network: str,
        node: Node,
        simulators: Sequence[Simulator],
        purses: Sequence[Purse],
        prices: Mapping[str, str],
    ) -> None:
        self._network = network
        self._node = node
        self._simulators = simulators
        self._purses = purses
        self._prices = prices
        self._places = {s.addresses[network]: s for s in simulators}
        rules = [r for s in simulators for r in s.rules.values() if r.network == network]
        self._tokens: dict[str | None, SimNetworkRule] = {r.contract: r for r in rules}
        self._head: Head | None = None

    async def look(self) -> None:
        """One look; cheap when there is no new block. Raises EndpointFailed; call it again."""
        head = await self._newest()
        if head != self._head:
            await self._follow_prices()
            await self._follow_deposits(head)
            if self._head is None or await self._hash(self._head.number) != self._head.hash:
                for purse in self._purses:  # a node that was killed has forgotten as well
                    await purse.after_fork(self._node)
            self._head = head
        for purse in self._purses:
            await purse.work(self._node)

    async def _newest(self) -> Head:
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        return Head(int(block["number"], 16), block["hash"])

    async def _hash(self, number: int) -> str | None:
        return await self._node.block_hash(number)

    # -- prices ----------------------------------------------------------------------------------

    async def _follow_prices(self) -> None:
        """What each asset is worth in USD, by its feed; one that says nothing sensible is left."""
        if not self._prices:
            return
        try:
            rounds = await feeds.rounds(self._node, list(self._prices.values()))
        except DecodingError:
            raise EndpointFailed(f"{self._network}: its feeds are not deployed yet") from None
        worth = {"USD": ONE}
        for pair, feed in self._prices.items():
            answer = rounds[feed].answer
            if answer > 0:
                worth[pair.removesuffix("/USD")] = answer * ONE // 10**FEED_DECIMALS
        for simulator in self._simulators:
            simulator.follow_prices(worth)

    # -- deposits --------------------------------------------------------------------------------

    async def _follow_deposits(self, head: Head) -> None:
        """Everything above the last credited block is read anew, so that what a fork took is
        gone; what lies deep enough is credited, once by its transaction and position."""
        base = await self._base(head)
        found = await self._tokens_in(base + 1, head.number) + await self._coins(base, head.number)
        deep = max(base, head.number - CONFIRMATIONS + 1)
        mark = f"{deep}:{await self._hash(deep) if deep >= 0 else None}"
        if await self._hash(head.number) != head.hash:
            raise EndpointFailed(f"{self._network}: it changed while it was read")
        for address, simulator in self._places.items():
            mine = [
                replace(d, confirmations=head.number - block + 1)
                for block, d in sorted(found, key=lambda pair: pair[0])
                if d.address == address
            ]
            simulator.transfers.follow(
                self._network,
                mark,
                [d for d in mine if d.confirmations >= CONFIRMATIONS],
                [d for d in mine if d.confirmations < CONFIRMATIONS],
            )
            simulator.tell_balances()

    async def _base(self, head: Head) -> int:
        """Up to which block all is credited; some blocks lower after a deep fork."""
        lowest = head.number
        for simulator in self._simulators:
            mark = simulator.store.fact(f"cursor {self._network}") or "-1:"
            number, _, hash_ = mark.partition(":")
            deep = int(number)
            if deep > head.number or (deep >= 0 and await self._hash(deep) != hash_):
                deep = min(deep, head.number) - REWIND
            lowest = min(lowest, deep)
        return max(-1, lowest)

    async def _tokens_in(self, first: int, last: int) -> list[tuple[int, SimDeposit]]:
        contracts = [contract for contract in self._tokens if contract is not None]
        if first > last or not contracts:
            return []
        receivers = ["0x" + address[2:].rjust(64, "0") for address in self._places]
        wanted = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": contracts,
            "topics": [TRANSFER, None, receivers],
        }
        found: list[tuple[int, SimDeposit]] = []
        counts: dict[str, int] = {}
        for log in await self._node.call("eth_getLogs", wanted):
            tx_hash = log["transactionHash"]
            counts[tx_hash] = counts.get(tx_hash, 0) + 1
            rule = self._tokens[log["address"].lower()]
            deposit = self._deposit(
                f"{tx_hash}:token{counts[tx_hash]}",
                rule,
                "0x" + log["topics"][2][-40:],
                int(log["data"], 16),
                tx_hash,
            )
            found.append((int(log["blockNumber"], 16), deposit))
        return [(block, d) for block, d in found if d.amount]

    async def _coins(self, base: int, last: int) -> list[tuple[int, SimDeposit]]:
        """By traces, so that contracts may pay as well; only of blocks in which an address grew."""
        blocks: set[int] = set()
        for address in self._places:
            blocks |= set(await self._rises(address, base, last))
        ordered = sorted(blocks)
        found: list[tuple[int, SimDeposit]] = []
        for start in range(0, len(ordered), TRACES_AT_ONCE):
            part = ordered[start : start + TRACES_AT_ONCE]
            traces = await self._node.many([("trace_block", [hex(block)]) for block in part])
            for block, several in zip(part, traces, strict=True):
                found += [(block, deposit) for deposit in self._paid(several or [])]
        return found

    async def _rises(self, address: str, low: int, high: int) -> list[int]:
        """Blocks above `low` in which its balance grew: it never falls, so halving finds them. All
        of them where the node keeps no state that old."""
        if low >= high:
            return []
        known: dict[int, int] = {}

        async def balance(block: int) -> int:
            if block not in known:
                answer = await self._node.call("eth_getBalance", address, hex(block))
                known[block] = int(answer, 16)
            return known[block]

        found: list[int] = []
        spans = [(max(0, low), high)]
        try:
            while spans:
                first, last = spans.pop()
                if await balance(first) == await balance(last):
                    continue
                if last - first == 1:
                    found.append(last)
                    continue
                middle = (first + last) // 2
                spans += [(first, middle), (middle, last)]
        except EndpointFailed:
            return list(range(max(0, low) + 1, high + 1))
        return found

    def _paid(self, traces: Sequence[Mapping[str, Any]]) -> list[SimDeposit]:
        """Calls of one block that brought an address coins and were not reverted."""
        rule, counts = self._tokens[None], dict[str, int]()
        failed = [(t["transactionHash"], t["traceAddress"]) for t in traces if t.get("error")]
        found: list[SimDeposit] = []
        for trace in traces:
            action, tx_hash, path = trace["action"], trace["transactionHash"], trace["traceAddress"]
            undone = any(tx_hash == h and path[: len(above)] == above for h, above in failed)
            amount = int(action.get("value", "0x0"), 16)
            if action.get("callType") != "call" or not amount or undone:
                continue
            if action.get("to") in self._places:
                counts[tx_hash] = counts.get(tx_hash, 0) + 1
                id_ = f"{tx_hash}:coin{counts[tx_hash]}"
                found.append(self._deposit(id_, rule, action["to"], amount, tx_hash))
        return found

    def _deposit(
        self, id_: str, rule: SimNetworkRule, address: str, units: int, tx_hash: str
    ) -> SimDeposit:
        return SimDeposit(
            id=id_,
            asset=rule.asset,
            network=self._network,
            address=address,
            amount=units * rule.step,
            tx_hash=tx_hash,
            confirmations=0,
            status=TransferStatus.PENDING,
            at=now_ms(),
        )
