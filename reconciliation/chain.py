"""Balances on chain against the ledger, at the cursor's own block, exactly (DESIGN 5, row 9).

Each deposit address is held against address_holdings, and the ledger's place against the sum of
these, so that what is wrong is named where it is: at an address, or inside the books. Hot wallets
and treasuries have no account of their own: their places are compared as a whole.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from chain.broadcast import from_any
from chain.endpoints import Endpoints
from chain.multicall import CALLS, Asked, Holdings
from chain.ranges import Range
from chain.rpc import Rpc
from core.context import Context
from core.errors import BlockUnknown, Unavailable
from core.ids import show
from core.networks import Network
from ledger.accounts import Role, place
from ledger.breaks import BreakKind, Difference
from reconciliation import books
from reconciliation.books import AtBlock, Held
from reconciliation.parts import MOST_NAMED, AddressFacts, Part, PlaceFacts

TRIES = 3  # a node that dropped the block's state, or a fork: again, at the cursor of then
AT_ONCE = 2  # pages that a node is asked for at a time
_NAMED_DEPOSITS = 20


class ChainComparison:
    """Of one network, in one run."""

    def __init__(
        self, context: Context, network: Network, endpoints: Endpoints, run_id: UUID
    ) -> None:
        self._context = context
        self._network = network
        self._endpoints = endpoints
        self._run_id = run_id
        self._sizes: defaultdict[str, Range] = defaultdict(lambda: Range(CALLS, largest=CALLS))
        self._tokens = {token.asset.symbol: token for token in network.tokens}

    async def compare(self) -> Part:
        """Raises ChainError when no node answers, Unavailable for a network not followed yet."""
        for left in reversed(range(TRIES)):
            at = await books.at_block(self._context, self._run_id, self._network)
            if at is None:
                raise Unavailable(f"{self._network.id} is not followed yet")
            try:
                return await self._at(at)
            except BlockUnknown:
                if not left:
                    raise
            finally:
                await books.forget(self._context, self._run_id, self._network)
        raise AssertionError("not reached")

    async def _at(self, at: AtBlock) -> Part:
        part = Part(f"chain:{self._network.id}")
        part.block = {"network": self._network.id, "number": at.number, "hash": at.hash}
        part.facts = {"addresses": at.addresses}
        wrong = await self._addresses(at, part)
        await self._deposits(at, part, wrong)
        await self._house(at, part)
        return part

    async def _read(self, at: AtBlock, asked: Sequence[Asked]) -> list[int | None]:
        async def ask(rpc: Rpc) -> list[int | None]:
            size = self._sizes[rpc.name]
            return await Holdings(rpc, at.hash, self._network.multicall, size).read(asked)

        return await from_any(self._endpoints, ask)

    async def _addresses(self, at: AtBlock, part: Part) -> dict[str, int]:
        """Every deposit address and asset. Asset -> actual less expected of all that differ."""
        wrong: defaultdict[str, int] = defaultdict(int)
        found: list[tuple[str, str, int, int | None]] = []

        async def one(page: list[Held]) -> None:
            asked = [(a, token.address) for a, _ in page for token in self._network.tokens]
            held = iter(await self._read(at, asked))
            part.compared += len(asked)
            for address, known in page:
                for symbol in self._tokens:
                    expected, actual = int(known.get(symbol, 0)), next(held)
                    if actual is None and not expected:
                        part.facts["untold"] = part.facts.get("untold", 0) + 1
                    elif expected != actual:
                        part.differing += 1
                        wrong[symbol] += (actual or 0) - expected
                        if len(found) < MOST_NAMED:
                            found.append((address, symbol, expected, actual))

        waiting: list[list[Held]] = []
        async with aclosing(books.pages(self._context, self._run_id, self._network)) as pages:
            async for page in pages:
                waiting.append(page)
                if len(waiting) == AT_ONCE:
                    await asyncio.gather(*map(one, waiting))
                    waiting.clear()
        await asyncio.gather(*map(one, waiting))
        async with self._context.database.statement() as connection:
            for address, symbol, expected, actual in found:
                deposits = await books.live_deposits(connection, self._network.id, address, symbol)
                part.found.append(
                    self._address(at, part, address, symbol, expected, actual, deposits)
                )
        return wrong

    def _address(
        self,
        at: AtBlock,
        part: Part,
        address: str,
        symbol: str,
        expected: int,
        actual: int | None,
        deposits: Sequence[tuple[UUID, str, int]],
    ) -> Difference:
        facts: AddressFacts = {
            "network": self._network.id,
            "block_number": at.number,
            "block_hash": at.hash,
            "address": address,
            "token": self._tokens[symbol].address,
            "expected_units": str(expected),
            "actual_units": "" if actual is None else str(actual),
            "deposits": [show("dep", one[0]) for one in deposits[-_NAMED_DEPOSITS:]],
        }
        return Difference(
            key=part.key(Role.DEPOSITS, address, symbol),
            kind=_kind(expected, actual, deposits),
            place=place(self._network.id, Role.DEPOSITS),
            asset=symbol,
            expected=expected,
            actual=actual,
            facts=dict(facts),
            run_id=self._run_id,
        )

    async def _deposits(self, at: AtBlock, part: Part, wrong: Mapping[str, int]) -> None:
        """The ledger's place against the addresses that it is the sum of."""
        account = place(self._network.id, Role.DEPOSITS)
        for symbol in sorted(_assets(at, account) | at.held.keys()):
            part.compared += 1
            expected, held = at.places.get((account, symbol), 0), at.held[symbol]
            if expected != held:
                more = f"{wrong[symbol]} more at single addresses" if symbol in wrong else None
                part.add(self._place(at, part, Role.DEPOSITS, symbol, expected, held, {}, more))

    async def _house(self, at: AtBlock, part: Part) -> None:
        """Hot wallets, and treasuries."""
        tokens = list(self._tokens.values())
        asked = [(address, token.address) for address, _ in at.house for token in tokens]
        held = iter(await self._read(at, asked))
        of: dict[tuple[Role, str], dict[str, int | None]] = defaultdict(dict)
        for address, role in at.house:
            for token in tokens:
                of[role, token.asset.symbol][address] = next(held)
        for role in (Role.HOT, Role.TREASURY):
            account = place(self._network.id, role)
            for symbol in sorted(_assets(at, account) | {s for r, s in of if r is role}):
                part.compared += 1
                amounts = of[role, symbol]
                expected = at.places.get((account, symbol), 0)
                known = [units for units in amounts.values() if units is not None]
                actual = (
                    sum(known) if symbol in self._tokens and len(known) == len(amounts) else None
                )
                if expected != actual and (expected or actual):
                    part.add(self._place(at, part, role, symbol, expected, actual, amounts, None))

    def _place(
        self,
        at: AtBlock,
        part: Part,
        role: Role,
        symbol: str,
        expected: int,
        actual: int | None,
        amounts: Mapping[str, int | None],
        explained: str | None,
    ) -> Difference:
        facts: PlaceFacts = {
            "network": self._network.id,
            "block_number": at.number,
            "block_hash": at.hash,
            "addresses": {a: "" if u is None else str(u) for a, u in amounts.items()},
            "by_address": explained,
        }
        inside = role is Role.DEPOSITS  # the books contradict themselves
        return Difference(
            key=part.key("place", role, symbol),
            kind=BreakKind.AMOUNT if inside else _kind(expected, actual, ()),
            place=place(self._network.id, role),
            asset=symbol,
            expected=expected,
            actual=actual,
            facts=dict(facts),
            run_id=self._run_id,
        )


def _assets(at: AtBlock, account: str) -> set[str]:
    return {asset for (name, asset), balance in at.places.items() if name == account and balance}


def _kind(expected: int, actual: int | None, deposits: Sequence[tuple[Any, str, int]]) -> BreakKind:
    """What such a difference is. The same amount of the same transaction credited twice, and one
    of them too much, is a duplicate."""
    if actual is None:
        return BreakKind.MISSING_ON_CHAIN
    if actual > expected:
        return BreakKind.MISSING_IN_LEDGER
    seen = [(tx_hash, amount) for _, tx_hash, amount in deposits]
    if any(amount == expected - actual and seen.count((tx, amount)) > 1 for tx, amount in seen):
        return BreakKind.DUPLICATE
    return BreakKind.MISSING_ON_CHAIN
