"""The venue's side of moves in the books (MONEY 1). Pure, but for the move's own row.

Entries carry the venue's own id, so that a deposit or withdrawal stands once whatever happens, and
reconciliation finds it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core import ids
from core.errors import LedgerError
from core.money import Asset
from exchanges.types import TransferStatus, VenueDeposit, VenueWithdrawal
from ledger.accounts import EXCHANGE_FEES, LOSSES, exchange, transit
from ledger.journal import Entry, Kind, Posting, transfer
from ledger.units import coarse, cross, fine
from treasury.move_tables import Move


def credited(row: Move, asset: Asset, shown: VenueDeposit, now: datetime) -> Entry | None:
    """The venue has what was in transit, less the fee that it says that it kept; None: that is in
    the books. What it credits beyond the asset's own decimals cannot be: no chain and no bank
    brought it."""
    if row.booked or shown.status is not TransferStatus.DONE:
        return None
    amount, rest = coarse(asset, shown.amount + shown.fee)
    if rest or amount <= 0:
        raise LedgerError(f"{row.venue} credits what nobody can bring: {shown.amount}")
    row.booked, row.booked_fee = shown.amount, shown.fee
    venue = exchange(_venue(row))
    postings = cross(asset, amount, debit=venue, credit=transit(row.id))
    if shown.fee:
        code = asset.at_venue().code
        postings += transfer(code, shown.fee, debit=EXCHANGE_FEES, credit=venue)
    return _entry(row, f"deposit:{shown.id}", Kind.MOVE_ARRIVED, postings, shown, now)


def taken(row: Move, asset: Asset, shown: VenueWithdrawal, now: datetime) -> Entry | None:
    """What a withdrawal took by now, less what the books have of it: a venue may tell its fee late,
    and gives all of it back when it fails. None: nothing changed."""
    failed = shown.status is TransferStatus.FAILED
    amount, fee = (0, 0) if failed else (shown.amount, shown.fee)
    more, more_fee = amount - row.booked, fee - row.booked_fee
    if not more and not more_fee:
        return None
    units, rest = coarse(asset, more)
    venue, code = exchange(_venue(row)), asset.at_venue().code
    postings: list[Posting] = []
    if units:
        postings += cross(asset, -units, debit=venue, credit=transit(row.id))
    if more_fee + rest:
        postings += transfer(code, more_fee + rest, debit=EXCHANGE_FEES, credit=venue)
    row.booked, row.booked_fee = amount, fee
    kind = Kind.MOVE_REVERSED if failed else Kind.MOVE_SENT
    return _entry(row, f"withdrawal:{shown.id}", kind, tuple(postings), shown, now)


def ordered(row: Move, asset: Asset, by: str, now: datetime) -> Entry:
    """A person has ordered fiat to go from a venue to a bank."""
    row.booked = fine(asset, row.amount)
    row.bookings += 1
    key, evidence = f"move:{_name(row)}:ordered", {"venue": row.venue, "ordered_by": by}
    postings = cross(asset, -row.amount, debit=exchange(_venue(row)), credit=transit(row.id))
    return _of(row, key, Kind.MOVE_SENT, evidence, postings, now)


def lost(row: Move, left: int, key: str, evidence: dict[str, Any], now: datetime) -> Entry:
    """A person has written off what is in transit (below zero: what arrived and did not leave)."""
    row.lost += left
    postings = transfer(row.asset, left, debit=LOSSES, credit=transit(row.id))
    return _of(row, key, Kind.BREAK_RESOLVED, evidence, postings, now)


def found(row: Move, left: int, now: datetime) -> Entry | None:
    """More has come out of transit than the books had there, because a person had written it off:
    so much of that is taken back. None: nothing is to be taken back."""
    back = min(row.lost, -left)
    if back <= 0:
        return None
    row.lost -= back
    key = f"move:{_name(row)}:found:{row.version}"
    evidence = {"found": "what was written off has shown up"}
    postings = transfer(row.asset, back, debit=transit(row.id), credit=LOSSES)
    return _of(row, key, Kind.MOVE_ARRIVED, evidence, postings, now)


def _entry(
    row: Move,
    name: str,
    kind: Kind,
    postings: tuple[Posting, ...],
    shown: VenueDeposit | VenueWithdrawal,
    now: datetime,
) -> Entry:
    """Each correction has a key of its own, counted."""
    again = f":{row.bookings}" if row.bookings else ""
    row.bookings += 1
    evidence: dict[str, Any] = {
        "venue": row.venue,
        "transfer": shown.id,
        "network": shown.network,
        "tx_hash": shown.tx_hash,
        "at": shown.at.isoformat(),
    }
    return _of(row, f"venue_transfer:{row.venue}:{name}{again}", kind, evidence, postings, now)


def _of(
    row: Move,
    key: str,
    kind: Kind,
    evidence: dict[str, Any],
    postings: tuple[Posting, ...],
    now: datetime,
) -> Entry:
    return Entry(
        id=ids.new(),
        key=key,
        kind=kind,
        reference=_name(row),
        merchant_id=None,
        evidence=evidence,
        posted_at=now,
        postings=postings,
    )


def _name(row: Move) -> str:
    return ids.show("mov", row.id)


def _venue(row: Move) -> str:
    assert row.venue is not None  # noqa: S101  (the caller's way has one)
    return row.venue
