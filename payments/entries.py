"""The journal entries of deposits and of the house's own movements (MONEY 1). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core import ids
from core.errors import LedgerError
from ledger.accounts import LOSSES, SUSPENSE, Debt, Role, merchant, place, transit, wallet
from ledger.journal import Entry, Kind, Posting, transfer
from payments.tables import Deposit, HouseMovement

ARRIVED = "arrived"  # a meaning: what a move brought
FOUND = "found"  # a meaning: what a move brought that was written off
FROM = "from_"  # a meaning: out of another place of ours, named behind it


def _evidence(row: Deposit | HouseMovement) -> dict[str, Any]:
    return {
        "network": row.network,
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "tx_hash": row.tx_hash,
        "position": row.position,
    }


def _deposit(
    row: Deposit, what: str, kind: Kind, now: datetime, *, debit: str, credit: str
) -> Entry:
    return Entry(
        id=ids.new(),
        key=f"deposit:{ids.show('dep', row.id)}:{row.generation}:{what}",
        kind=kind,
        reference=ids.show("dep", row.id),
        merchant_id=row.merchant_id,
        evidence=_evidence(row),
        posted_at=now,
        postings=transfer(row.asset, row.amount, debit=debit, credit=credit),
    )


def debt_of(row: Deposit, debt: Debt) -> str:
    """The account that says to whom it is owed: a customer, in his wallet, or the merchant."""
    if row.wallet_id is not None:
        return wallet(row.wallet_id, debt)
    return merchant(row.merchant_id, debt)


def seen(row: Deposit, now: datetime) -> Entry:
    """The place has it with the block; we owe it as pending."""
    return _deposit(
        row,
        "seen",
        Kind.DEPOSIT_SEEN,
        now,
        debit=place(row.network, Role(row.role)),
        credit=debt_of(row, Debt.PENDING),
    )


def moved(row: Deposit, to: Debt, now: datetime, *, kind: Kind | None = None) -> Entry:
    """The debt changes its account. The first move out of pending is the confirmation."""
    first = row.account == Debt.PENDING
    usual = Kind.DEPOSIT_CONFIRMED if first else Kind.DEPOSIT_MOVED
    return _deposit(
        row,
        "confirmed" if first else f"moved:{ids.new().hex}",
        kind or usual,
        now,
        debit=debt_of(row, Debt(row.account)),
        credit=debt_of(row, to),
    )


def reversed_(row: Deposit, now: datetime) -> Entry:
    """The chain took it back: place and debt are both undone, wherever the debt stands."""
    return _deposit(
        row,
        "reversed",
        Kind.DEPOSIT_REVERSED,
        now,
        debit=debt_of(row, Debt(row.account)),
        credit=place(row.network, Role(row.role)),
    )


def house(row: HouseMovement, now: datetime, *, reverse: bool = False) -> Entry:
    """A sweep (what left a deposit address, what arrived), what somebody of ours awaited, what
    came from another place of ours, or an inflow nobody can explain (yet)."""
    if row.meaning == "swept":
        kind = Kind.SWEEP_REVERSED if reverse else Kind.SWEEP
        source = place(row.network, Role.DEPOSITS)
    elif row.meaning in (ARRIVED, FOUND) or row.meaning.startswith(FROM):
        kind = Kind.MOVE_REVERSED if reverse else Kind.MOVE_ARRIVED
        source = _origin(row)
    else:
        kind = Kind.UNKNOWN_INFLOW_REVERSED if reverse else Kind.UNKNOWN_INFLOW
        source = SUSPENSE
    sign = -1 if reverse else 1
    lines = [(row.place, row.arrived), (LOSSES, row.amount - row.arrived), (source, -row.amount)]
    what = "reversed" if reverse else row.meaning
    return Entry(
        id=ids.new(),
        key=f"house:{row.id}:{row.generation}:{what}",
        kind=kind,
        reference=row.tx_hash,
        merchant_id=None,
        evidence=_evidence(row),
        posted_at=now,
        postings=tuple(Posting(a, row.asset, sign * n) for a, n in lines if n),
    )


def explained(row: HouseMovement, now: datetime) -> Entry:
    """An inflow that was nobody's by then is what a move awaited: out of suspense."""
    return Entry(
        id=ids.new(),
        key=f"house:{row.id}:{row.generation}:explained",
        kind=Kind.MOVE_ARRIVED,
        reference=row.reference or row.tx_hash,
        merchant_id=None,
        evidence=_evidence(row),
        posted_at=now,
        postings=transfer(row.asset, row.amount, debit=SUSPENSE, credit=_origin(row)),
    )


def _origin(row: HouseMovement) -> str:
    """Where it was before it came in."""
    if row.meaning.startswith(FROM):
        return place(row.network, Role(row.meaning.removeprefix(FROM)))
    move = ids.read("mov", row.reference or "")
    if move is None:
        raise LedgerError(f"{row.reference} is no move")
    return LOSSES if row.meaning == FOUND else transit(move)
