"""Cost basis by lots: what the house holds, what it cost, what selling it brought. Pure.

Quantities are units of an asset's finest count (`Asset.at_venue`), values units of 10**-18 of the
house currency. A part of a lot costs its share, rounded down; the rest stays with what is left, so
that costs add up to the unit. None is a value that nobody knows: nothing is guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Method(StrEnum):
    """Which units leave first."""

    FIFO = "fifo"
    """Those that came first."""
    AVERAGE = "average"
    """None in particular: each costs what all of them cost on average."""


@dataclass(slots=True)
class Lot:
    """Units that came together. `cost` is of what is `left`."""

    entry: UUID | None
    at: datetime | None
    quantity: int
    left: int
    cost: int | None


@dataclass(frozen=True, slots=True)
class Portion:
    """What a disposal took out of one lot. `short`: out of none, more left than ever came."""

    entry: UUID | None
    at: datetime | None
    quantity: int
    cost: int | None
    short: bool = False


def share(cost: int | None, part: int, whole: int) -> int | None:
    """What a part costs, rounded down."""
    return None if cost is None else cost * part // whole


class Pool(Protocol):
    """What is held of one asset. What leaves beyond it is `short`: the next that comes fills it."""

    short: int

    @property
    def held(self) -> int:
        """Units that lots hold."""

    def add(self, lot: Lot) -> None: ...

    def take(self, quantity: int) -> list[Portion]: ...

    def put_back(self, portions: Sequence[Portion]) -> None:
        """What was taken had not left after all."""

    def take_back(self, lot: Lot) -> None:
        """What was added had not come after all; `lot` as it was added."""

    def open(self) -> Iterable[Lot]:
        """Lots that have something left, the next to leave first."""


class Fifo:
    """Lots in the order in which they came."""

    def __init__(self) -> None:
        self.short = 0
        self.held = 0
        self._lots: deque[Lot] = deque()
        self._by_entry: dict[UUID, Lot] = {}

    def add(self, lot: Lot) -> None:
        self._fill(lot)
        if lot.left:
            self._lots.append(lot)
            if lot.entry is not None:
                self._by_entry[lot.entry] = lot

    def take(self, quantity: int) -> list[Portion]:
        portions: list[Portion] = []
        while quantity and (lot := self._first()):
            portions.append(self._cut(lot, min(quantity, lot.left)))
            quantity -= portions[-1].quantity
        if quantity:
            self.short += quantity
            portions.append(Portion(None, None, quantity, None, short=True))
        return portions

    def put_back(self, portions: Sequence[Portion]) -> None:
        for portion in reversed(portions):
            if portion.quantity == 0:
                continue
            lot = Lot(portion.entry, portion.at, portion.quantity, portion.quantity, portion.cost)
            self._fill(lot)
            if not lot.left:
                continue
            first = self._first()
            if first is not None and lot.entry is not None and first.entry == lot.entry:
                known = first.cost is not None and lot.cost is not None
                first.cost = (first.cost or 0) + (lot.cost or 0) if known else None
                first.left += lot.left
            else:
                self._lots.appendleft(lot)
                if lot.entry is not None:
                    self._by_entry[lot.entry] = lot

    def take_back(self, lot: Lot) -> None:
        """Out of that very lot; what has left it since comes out of the others."""
        quantity = lot.quantity
        known = self._by_entry.get(lot.entry) if lot.entry is not None else None
        if known is not None and known.left:
            quantity -= self._cut(known, min(quantity, known.left)).quantity
        if quantity:
            self.take(quantity)

    def open(self) -> Iterable[Lot]:
        return (lot for lot in self._lots if lot.left)

    def oldest(self) -> Lot | None:
        return self._first()

    def _first(self) -> Lot | None:
        while self._lots and not self._lots[0].left:
            gone = self._lots.popleft()
            if gone.entry is not None and self._by_entry.get(gone.entry) is gone:
                del self._by_entry[gone.entry]
        return self._lots[0] if self._lots else None

    def _cut(self, lot: Lot, quantity: int) -> Portion:
        cost = lot.cost if quantity == lot.left else share(lot.cost, quantity, lot.left)
        lot.left -= quantity
        lot.cost = None if lot.cost is None or cost is None else lot.cost - cost
        self.held -= quantity
        return Portion(lot.entry, lot.at, quantity, cost)

    def _fill(self, lot: Lot) -> None:
        """What is short takes of it first; the rest is held."""
        self.held += lot.left
        if covered := min(self.short, lot.left):
            self.short -= covered
            self._cut(lot, covered)


class Average:
    """One heap. Units without a known cost are counted apart and leave in proportion."""

    def __init__(self) -> None:
        self.short = 0
        self._valued = 0
        self._cost = 0
        self._unvalued = 0

    @property
    def held(self) -> int:
        return self._valued + self._unvalued

    def add(self, lot: Lot) -> None:
        self._put(lot.left, lot.cost)

    def take(self, quantity: int) -> list[Portion]:
        there = min(quantity, self.held)
        portions = []
        if there:
            valued = min(there - there * self._unvalued // self.held, self._valued)
            cost = share(self._cost, valued, self._valued) if valued else 0
            self._valued -= valued
            self._cost -= cost or 0
            self._unvalued -= there - valued
            if valued:
                portions.append(Portion(None, None, valued, cost))
            if there > valued:
                portions.append(Portion(None, None, there - valued, None))
        if quantity > there:
            self.short += quantity - there
            portions.append(Portion(None, None, quantity - there, None, short=True))
        return portions

    def put_back(self, portions: Sequence[Portion]) -> None:
        for portion in portions:
            self._put(portion.quantity, portion.cost)

    def take_back(self, lot: Lot) -> None:
        """At what it cost when it came, as far as the heap has it."""
        if lot.cost is not None and lot.quantity <= self._valued and lot.cost <= self._cost:
            self._valued -= lot.quantity
            self._cost -= lot.cost
            if not self._valued:
                self._cost = 0
        elif lot.cost is None and lot.quantity <= self._unvalued:
            self._unvalued -= lot.quantity
        else:
            self.take(lot.quantity)

    def open(self) -> Iterable[Lot]:
        """The heap as one lot, what has no known cost as another."""
        if self._valued:
            yield Lot(None, None, self._valued, self._valued, self._cost)
        if self._unvalued:
            yield Lot(None, None, self._unvalued, self._unvalued, None)

    def _put(self, quantity: int, cost: int | None) -> None:
        covered = min(self.short, quantity)
        self.short -= covered
        if covered and cost is not None:
            cost -= share(cost, covered, quantity) or 0
        if quantity == covered:
            return
        if cost is None:
            self._unvalued += quantity - covered
        else:
            self._valued += quantity - covered
            self._cost += cost


def pool(method: Method) -> Pool:
    return Fifo() if method is Method.FIFO else Average()
