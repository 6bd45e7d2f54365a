"""Who has what at a venue. Everything that somebody gets somebody else gave: per asset all accounts
together hold nothing, always."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sandbox.exchanges.types import Reason, Rejected, SimBalance

OURS = "ours"
MAKERS = "makers"
FEES = "fees"
OUTSIDE = "outside"  # chains, banks, and whatever the account began with


class Accounts:
    """Only our account has anything locked; the others may owe. `touched` are assets of ours that
    changed since it was last cleared."""

    def __init__(self) -> None:
        self._free: dict[tuple[str, str], int] = defaultdict(int)
        self._locked: dict[str, int] = defaultdict(int)
        self.touched: set[str] = set()

    def load(self, account: str, asset: str, free: int, locked: int) -> None:
        self._free[account, asset] = free
        if account == OURS:
            self._locked[asset] = locked

    def rows(self) -> Iterator[tuple[str, str, int, int]]:
        """Account, asset, free, locked."""
        for (account, asset), free in sorted(self._free.items()):
            yield account, asset, free, self._locked[asset] if account == OURS else 0

    def ours(self, asset: str) -> SimBalance:
        return SimBalance(self._free[OURS, asset], self._locked[asset])

    def balances(self) -> dict[str, SimBalance]:
        assets = sorted({asset for account, asset in self._free if account == OURS})
        return {asset: self.ours(asset) for asset in assets}

    def move(self, asset: str, amount: int, giver: str, taker: str) -> None:
        """From free to free; whoever checks does so before."""
        self._free[giver, asset] -= amount
        self._free[taker, asset] += amount
        if OURS in (giver, taker) and amount:
            self.touched.add(asset)

    def lock(self, asset: str, amount: int) -> None:
        """Raises Rejected when less is free."""
        if self._free[OURS, asset] < amount:
            raise Rejected(Reason.INSUFFICIENT)
        self.unlock(asset, -amount)

    def unlock(self, asset: str, amount: int) -> None:
        self._free[OURS, asset] += amount
        self._locked[asset] -= amount
        if amount:
            self.touched.add(asset)

    def totals(self) -> dict[str, int]:
        """Per asset over all accounts: zero each, or something was made up."""
        found: dict[str, int] = defaultdict(int)
        for _, asset, free, locked in self.rows():
            found[asset] += free + locked
        return dict(found)
