"""Executions at a venue against the books, by id: there and not here, here and not there, both and
not the same. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

from core.networks import Catalog
from exchanges.types import Fill, Venue
from ledger.breaks import BreakKind
from reconciliation.parts import FillFacts
from reconciliation.transfers import Item
from reconciliation.venue_books import KnownFill, Reading, Unended
from treasury.units import ledger_code

SKEW = timedelta(seconds=5)  # between a venue's clock and ours

Effects = Mapping[str, int]  # the ledger's code -> units that an execution brought to our account


class FillComparison:
    """Of one reading. `explained`: the ledger's code -> units that the venue has more than the
    books by what differs here. `under_way`: executions of orders of ours that did not end."""

    def __init__(
        self, venue: Venue, catalog: Catalog, reading: Reading, patience: timedelta
    ) -> None:
        self._venue = venue
        self._catalog = catalog
        self._reading = reading
        self._patience = patience
        self.explained: defaultdict[str, int] = defaultdict(int)
        self.under_way = 0

    def missing(self) -> dict[str, Fill]:
        """What has no row of ours, by the key that its entry would have."""
        known = self._reading.books.fills
        return {
            f"fill:{self._venue}:{fill.symbol}:{fill.id}": fill
            for fill in self._reading.fills
            if (fill.symbol, fill.id) not in known
        }

    def compare(self, in_journal: Collection[str]) -> list[Item]:
        """`in_journal`: those keys of `missing` that entries stand under all the same."""
        theirs = {(fill.symbol, fill.id): fill for fill in self._reading.fills}
        found = [
            item
            for key, fill in self.missing().items()
            for item in self._missing(fill, booked=key in in_journal)
        ]
        for name, known in self._reading.books.fills.items():
            found += self._known(known, theirs.get(name))
        return found

    def _missing(self, fill: Fill, *, booked: bool) -> Iterator[Item]:
        reading = self._reading
        if not booked:
            self._explain(self._effects(fill), 1)
            if any(_of(order, fill) for order in reading.books.unended):
                self.under_way += 1
                if reading.as_of - fill.at >= self._patience:
                    kind, why = BreakKind.TIMING, "its order is under way"
                    yield self._item(fill, kind, why, booked=False)
                return
        why = "its entry stands, its row is gone" if booked else "no entry was made of it"
        yield self._item(fill, BreakKind.MISSING_IN_LEDGER, why, booked=booked)

    def _known(self, known: KnownFill, fill: Fill | None) -> Iterator[Item]:
        if fill is not None:
            yield from self._same(fill, known)
        elif self._reading.moved and known.at >= self._reading.began - SKEW:
            self.under_way += 1  # booked after the venue's were read
        elif known.symbol not in self._reading.untold and known.at <= self._reading.as_of:
            ours = self._in_books(known)
            if any(ours.values()):  # otherwise a person has taken it back
                self._explain(ours, -1)
                why = "the venue does not show it"
                yield self._item(known, BreakKind.MISSING_AT_VENUE, why, booked=True, known=known)

    def _same(self, fill: Fill, known: KnownFill) -> Iterator[Item]:
        sizes = (fill.side, fill.price, fill.quantity, fill.quote_quantity)
        ours = (known.side, known.price, known.quantity, known.quote_quantity)
        agree = sizes == ours and (fill.fee, fill.fee_asset) == (known.fee, known.fee_asset)
        if agree and known.booked:
            return
        there, here = self._effects(fill), self._in_books(known)
        if _nonzero(there) == _nonzero(here) and known.corrected:
            return
        self._explain(there, 1)
        self._explain(here, -1)
        said = f"booked: {known.quantity} for {known.quote_quantity}, fee {known.fee}"
        kind = BreakKind.FEE if sizes == ours else BreakKind.AMOUNT
        if not known.booked:
            kind, said = BreakKind.MISSING_IN_LEDGER, "its row stands, its entry is gone"
        yield self._item(fill, kind, said, booked=known.booked, known=known)

    def _item(
        self,
        fill: Fill | KnownFill,
        kind: BreakKind,
        reason: str,
        *,
        booked: bool,
        known: KnownFill | None = None,
    ) -> Item:
        base = fill.symbol.partition("-")[0]
        code = ledger_code(self._catalog, fill.fee_asset if kind is BreakKind.FEE else base)
        ours = self._in_books(known).get(code, 0) if known else 0
        gone = kind is BreakKind.MISSING_AT_VENUE
        there = 0 if gone else self._effects(fill).get(code, 0)
        facts = self.facts(fill, reason, booked=booked)
        return Item(("fill", fill.symbol, fill.id), kind, code, ours, there, facts)

    def facts(self, fill: Fill | KnownFill, reason: str, *, booked: bool) -> dict[str, Any]:
        """What a Break tells of it."""
        facts: FillFacts = {
            "venue": self._venue.value,
            "symbol": fill.symbol,
            "fill": fill.id,
            "order": fill.venue_id,
            "side": str(fill.side),
            "price": str(fill.price),
            "quantity": str(fill.quantity),
            "quote_quantity": str(fill.quote_quantity),
            "fee": str(fill.fee),
            "fee_asset": fill.fee_asset,
            "at": fill.at.isoformat(),
            "booked": booked,
            "reason": reason,
        }
        return dict(facts)

    def _in_books(self, known: KnownFill) -> Effects:
        """With what a person has corrected of it since."""
        effects = defaultdict(int, self._effects(known) if known.booked else {})
        for code, units in known.corrected.items():
            effects[code] += units
        return effects

    def _effects(self, fill: Fill | KnownFill) -> Effects:
        base, _, quote = fill.symbol.partition("-")
        sign = 1 if fill.side == "buy" else -1
        effects: defaultdict[str, int] = defaultdict(int)
        effects[ledger_code(self._catalog, base)] += sign * fill.quantity
        effects[ledger_code(self._catalog, quote)] -= sign * fill.quote_quantity
        effects[ledger_code(self._catalog, fill.fee_asset)] -= fill.fee
        return effects

    def _explain(self, effects: Effects, sign: int) -> None:
        for code, units in effects.items():
            self.explained[code] += sign * units


def _nonzero(effects: Effects) -> Effects:
    return {code: units for code, units in effects.items() if units}


def _of(order: Unended, fill: Fill) -> bool:
    """Whether an execution belongs to an order of ours that did not end; one whose answer is
    awaited has no id of the venue's yet."""
    if order.venue_id is not None:
        return order.venue_id == fill.venue_id
    return order.symbol == fill.symbol and order.side == fill.side and fill.at >= order.created_at
