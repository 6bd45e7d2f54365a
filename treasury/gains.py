"""The lots of every asset, folded out of the ledger's facts in their order. Pure.

Only a conversion realises a gain: what it brought less what the units it gave had cost. What is
paid out to whom it was owed leaves in kind, gas and fees leave as expenses: at what they cost.
What the chain took back is undone where it was done. Moves between places of ours change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ledger.journal import Kind
from treasury.lots import Fifo, Lot, Method, Pool, Portion, pool

REVERSED = "_reversed"


@dataclass(frozen=True, slots=True)
class Fact:
    """What one entry changed in all places of the house together, by symbol: units of the asset's
    finest count, none of them 0. `worth` is what it was worth then, in units of 10**-18 of the
    house currency, None: unknown; of a fill what changed in its quote asset, fees and all. `symbol`
    is a fill's: ETH-EUR."""

    seq: int
    entry: UUID
    at: datetime
    kind: str
    reference: str
    changes: tuple[tuple[str, int], ...]
    worth: int | None = None
    symbol: str | None = None

    @property
    def sold(self) -> str | None:
        """What a fill gave for what it brought; a third asset is only its fee."""
        if self.kind != Kind.FILL or self.symbol is None:
            return None
        base, _, quote = self.symbol.partition("-")
        changes = dict(self.changes)
        return next((asset for asset in (quote, base) if changes.get(asset, 0) < 0), None)

    @property
    def bought(self) -> str | None:
        """What came: of a fill the other side of `sold`."""
        came = [asset for asset, change in self.changes if change > 0]
        if self.sold is not None and self.symbol is not None:
            base, _, quote = self.symbol.partition("-")
            came = [asset for asset in came if asset in (base, quote)]
        return came[0] if len(came) == 1 else None


@dataclass(frozen=True, slots=True)
class Disposal:
    """Units that left. `cost` is that of the portions whose cost is known, `unvalued` how many
    units have none. `proceeds` None: it was no sale, or nobody knows what it was worth."""

    seq: int
    entry: UUID
    at: datetime
    kind: str
    asset: str
    quantity: int
    portions: tuple[Portion, ...]
    sold: bool
    proceeds: int | None

    @property
    def cost(self) -> int:
        return sum(portion.cost or 0 for portion in self.portions)

    @property
    def unvalued(self) -> int:
        return sum(portion.quantity for portion in self.portions if portion.cost is None)

    @property
    def gain(self) -> int | None:
        """None when it was no sale, or something of it has no known value."""
        if not self.sold or self.proceeds is None or self.unvalued:
            return None
        return self.proceeds - self.cost


@dataclass(slots=True)
class _Done:
    """What an entry did, to be undone."""

    entry: UUID
    added: list[tuple[str, Lot]] = field(default_factory=list)
    taken: list[tuple[str, tuple[Portion, ...]]] = field(default_factory=list)


class Book:
    """All pools under one method. `disposals` in the order of the ledger, without undone ones."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.pools: dict[str, Pool] = {}
        self._disposals: dict[UUID, list[Disposal]] = {}
        self._done: dict[tuple[str, tuple[tuple[str, int], ...]], list[_Done]] = {}

    @property
    def disposals(self) -> list[Disposal]:
        return [one for some in self._disposals.values() for one in some]

    def held(self, asset: str) -> int:
        """Units, less what is short: what the ledger's places hold together."""
        found = self.pools.get(asset)
        return found.held - found.short if found else 0

    def oldest(self, asset: str) -> Lot | None:
        """Under FIFO the lot that leaves next."""
        found = self.pools.get(asset)
        return found.oldest() if isinstance(found, Fifo) else None

    def apply(self, fact: Fact) -> None:
        if fact.kind.endswith(REVERSED) and self._undo(fact):
            return
        done = _Done(fact.entry)
        sold, bought = fact.sold, fact.bought
        for asset, change in fact.changes:
            if change < 0:
                done.taken.append((asset, self._take(fact, asset, -change, sold == asset)))
        for asset, change in fact.changes:
            if change > 0:
                worth = fact.worth if asset == bought else None
                done.added.append((asset, Lot(fact.entry, fact.at, change, change, worth)))
                self._pool(asset).add(Lot(fact.entry, fact.at, change, change, worth))
        if fact.kind != Kind.FILL:  # executions are never taken back
            self._done.setdefault((fact.reference, fact.changes), []).append(done)

    def _take(self, fact: Fact, asset: str, quantity: int, sold: bool) -> tuple[Portion, ...]:
        portions = tuple(self._pool(asset).take(quantity))
        self._disposals.setdefault(fact.entry, []).append(
            Disposal(
                seq=fact.seq,
                entry=fact.entry,
                at=fact.at,
                kind=fact.kind,
                asset=asset,
                quantity=quantity,
                portions=portions,
                sold=sold,
                proceeds=fact.worth if sold else None,
            )
        )
        return portions

    def _undo(self, fact: Fact) -> bool:
        """Whether what it takes back was found: same reference, the opposite changes."""
        opposite = tuple((asset, -change) for asset, change in fact.changes)
        known = self._done.get((fact.reference, opposite))
        if not known:
            return False
        done = known.pop()
        for asset, portions in done.taken:
            self._pool(asset).put_back(portions)
        for asset, lot in done.added:
            self._pool(asset).take_back(lot)
        self._disposals.pop(done.entry, None)
        return True

    def _pool(self, asset: str) -> Pool:
        found = self.pools.get(asset)
        if found is None:
            found = self.pools[asset] = pool(self.method)
        return found
