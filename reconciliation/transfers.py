"""Deposits to a venue and withdrawals from it against the books. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from exchanges.types import TransferStatus, Venue, VenueDeposit, VenueWithdrawal
from ledger.breaks import BreakKind
from reconciliation.parts import TransferFacts
from reconciliation.venue_books import Absent, KnownTransfers

MOST_SUMMED = 12  # withdrawals under way at once


@dataclass(frozen=True, slots=True)
class Item:
    """A transfer on which the two sides differ. `expected` is the books' effect on our account in
    the venue's units, `actual` the venue's; `kind` None: under way, and not for long."""

    name: Sequence[object]
    kind: BreakKind | None
    asset: str
    expected: int
    actual: int
    facts: dict[str, Any]


def sums(amounts: Sequence[int]) -> set[int] | range:
    """What some of them may come to, none and all included; of very many whatever lies between."""
    if len(amounts) > MOST_SUMMED:
        return range(sum(amounts) + 1)
    found = {0}
    for amount in amounts:
        found |= {before + amount for before in found}
    return found


class TransferComparison:
    """At the moment `as_of` of a venue's wall time."""

    def __init__(
        self, venue: Venue, as_of: datetime, patience: timedelta, known: KnownTransfers
    ) -> None:
        self._venue = venue
        self._as_of = as_of
        self._patience = patience
        self._known = known
        self.under_way = 0

    def compare(
        self, deposits: Sequence[VenueDeposit], withdrawals: Sequence[VenueWithdrawal]
    ) -> list[Item]:
        """What was booked and is there alike is left out."""
        found = [*self._deposits(deposits), *self._withdrawals(withdrawals)]
        shown = {f"deposit:{d.id}" for d in deposits} | {f"withdrawal:{w.id}" for w in withdrawals}
        return [*found, *(self._absent(a) for a in self._known.absent if a.name not in shown)]

    def _deposits(self, deposits: Sequence[VenueDeposit]) -> Iterator[Item]:
        for one in deposits:
            name = f"deposit:{one.id}"
            credited = one.amount if one.status is TransferStatus.DONE else 0
            booked = self._known.booked.get(name)
            if one.status is TransferStatus.PENDING:
                self.under_way += 1
            if credited == (booked or 0):
                continue
            facts = self._facts("deposit", one.id, one, None, 0)
            kind = self._early(name, one.at)
            if kind is BreakKind.AMOUNT and booked is None:
                kind = BreakKind.MISSING_IN_LEDGER
            yield Item(("deposit", one.id), kind, one.asset, booked or 0, credited, facts)

    def _withdrawals(self, withdrawals: Sequence[VenueWithdrawal]) -> Iterator[Item]:
        """A pending one has been taken from us already, as far as the books are concerned."""
        for one in withdrawals:
            name = f"withdrawal:{one.id}"
            gone = 0 if one.status is TransferStatus.FAILED else -(one.amount + one.fee)
            booked = self._known.booked.get(name)
            if one.status is TransferStatus.PENDING:
                self.under_way += 1
            if gone == (booked or 0):
                continue
            facts = self._facts("withdrawal", one.id, one, one.client_id, one.fee)
            kind = self._early(name, one.at)
            if kind is BreakKind.AMOUNT and booked is None:
                kind = BreakKind.MISSING_IN_LEDGER
            elif kind is BreakKind.AMOUNT and abs(gone - (booked or 0)) <= one.fee:
                kind = BreakKind.FEE
            yield Item(("withdrawal", one.id), kind, one.asset, booked or 0, gone, facts)

    def _early(self, name: str, at: datetime) -> BreakKind | None:
        """Timing where a move of ours is waiting for it, and None while that is young."""
        if name not in self._known.awaited:
            return BreakKind.AMOUNT
        self.under_way += 1
        return None if self._as_of - at < self._patience else BreakKind.TIMING

    def _facts(
        self,
        direction: str,
        number: str,
        one: VenueDeposit | VenueWithdrawal,
        client_id: str | None,
        fee: int,
    ) -> dict[str, Any]:
        facts: TransferFacts = {
            "venue": self._venue.value,
            "direction": direction,
            "transfer": number,
            "client_id": client_id,
            "network": one.network,
            "address": one.address,
            "tx_hash": one.tx_hash,
            "status": one.status.value,
            "fee": str(fee),
            "at": one.at.isoformat(),
        }
        return dict(facts)

    def _absent(self, one: Absent) -> Item:
        """Booked, and the venue does not show it: it may be late, not for ever."""
        young = self._as_of - one.at < self._patience
        self.under_way += young
        facts = {
            "venue": self._venue.value,
            "direction": one.direction,
            "transfer": one.name,
            "at": one.at.isoformat(),
        }
        kind = None if young else BreakKind.MISSING_AT_VENUE
        return Item((one.name,), kind, one.asset, one.effect, 0, facts)
