"""Which inflow to the house is what a move of ours awaits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain.types import Movement
from payments import entries
from wallets.tables import ExpectedInflow

UNKNOWN = "unknown"  # nobody's
AWAITED = "awaited"  # perhaps somebody's: its transaction is not told yet


class Awaited:
    """What moves await, in these blocks; each is given out once."""

    def __init__(self, expected: Sequence[ExpectedInflow], roles: Mapping[str, str]) -> None:
        self._left = list(expected)
        self._roles = roles

    def meaning(self, movement: Movement, asset: str) -> tuple[str, str | None]:
        """Of an inflow: its meaning, and whose it is."""
        return self.of(
            movement.tx_hash, movement.sender, movement.recipient, asset, movement.amount
        )

    def of(
        self, tx_hash: str, sender: str, recipient: str, asset: str, amount: int
    ) -> tuple[str, str | None]:
        role = self._roles.get(sender)
        mine = [e for e in self._left if (e.address, e.asset) == (recipient, asset)]
        if role in ("hot", "treasury"):
            same = [e for e in mine if (e.sender, e.amount) == (sender, amount)]
            return entries.FROM + role, self._take(same)
        known = [e for e in mine if e.tx_hash == tx_hash and e.amount == amount]
        if known:
            return entries.FOUND if known[0].lost else entries.ARRIVED, self._take(known)
        open_ = [e for e in mine if e.tx_hash is None and not e.sender and e.amount >= amount]
        return (AWAITED if open_ else UNKNOWN), None

    def _take(self, some: Sequence[ExpectedInflow]) -> str | None:
        if not some:
            return None
        self._left.remove(some[0])
        return some[0].reference
