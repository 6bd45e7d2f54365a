"""One pure function: moves from banks that a venue has not credited, and what banks brought to it
-> which is which.

A venue calls a bank's transfer by a name of its own, so amounts decide: same venue, asset and
amount, not before the move was asked for less a day. Of moves that are equal the oldest gets the
oldest deposit (either does). Where more deposits came than moves explain, one of them is somebody
else's, and nobody can tell which: nothing is matched. One that brought less than all that left is
shown to a person, who knows whether it is a bank's fee.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from exchanges.types import TransferStatus, VenueDeposit

EARLY = timedelta(days=1)  # a transfer may be older than the word about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """A move that waits for the venue. `amount` in units of 10**-18: what a statement has shown to
    leave the bank (`has_left`), else what was asked for. `asked_at` is wall time. `declined`: a
    person has said that what looked like it is not."""

    id: UUID
    asset: str
    amount: int
    asked_at: datetime
    has_left: bool = False
    declined: bool = False

    def may_be(self, deposit: VenueDeposit) -> bool:
        return self.asset == deposit.asset and deposit.at >= self.asked_at - EARLY


@dataclass(frozen=True, slots=True)
class Found:
    """By move: `same` is the deposit that it is, `less` one of another amount that may be it."""

    same: dict[UUID, VenueDeposit]
    less: dict[UUID, VenueDeposit]


def match(fundings: Iterable[Funding], deposits: Iterable[VenueDeposit]) -> Found:
    """The same for the same sets, in whatever order they come. deposits: those that no entry knows;
    what is not credited for good explains nothing yet."""
    waiting = sorted(fundings, key=lambda one: (one.asked_at, one.id))
    credited = [one for one in deposits if one.status is TransferStatus.DONE]
    credited.sort(key=lambda one: (one.at, one.id))
    by_amount: dict[tuple[str, int], list[Funding]] = defaultdict(list)
    for one in waiting:
        by_amount[one.asset, one.amount].append(one)
    same: dict[UUID, VenueDeposit] = {}
    for key, equal in by_amount.items():
        same |= _pairs(equal, [d for d in credited if (d.asset, _sent(d)) == key])
    others = [
        deposit
        for deposit in credited
        if not any(one.may_be(deposit) for one in by_amount[deposit.asset, _sent(deposit)])
    ]
    left = [one for one in waiting if one.has_left and one.id not in same]
    return Found(same, _less(left, others))


def _sent(deposit: VenueDeposit) -> int:
    """What the bank sent, by the venue's word."""
    return deposit.amount + deposit.fee


def _pairs(equal: Sequence[Funding], deposits: Sequence[VenueDeposit]) -> dict[UUID, VenueDeposit]:
    """Both of one amount, both oldest first."""
    found: dict[UUID, VenueDeposit] = {}
    for deposit in deposits:
        possible = [one for one in equal if one.may_be(deposit)]
        free = [one for one in possible if one.id not in found]
        if possible and not free:
            return {}
        if free:
            found[free[0].id] = deposit
    return found


def _less(left: Sequence[Funding], others: Sequence[VenueDeposit]) -> dict[UUID, VenueDeposit]:
    """The only move that left in an asset, and the only deposit that is a part of it, though more
    than half: fees are less."""
    found: dict[UUID, VenueDeposit] = {}
    for one in left:
        near = [d for d in others if one.may_be(d) and one.amount < 2 * _sent(d) < 2 * one.amount]
        alone = sum(other.asset == one.asset for other in left) == 1
        if alone and len(near) == 1 and not one.declined:
            found[one.id] = near[0]
    return found
