"""The journal entries of payouts (MONEY 1). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core import ids
from ledger.accounts import FEES, Debt, Role, place, under_way
from ledger.journal import Entry, Kind, Posting, transfer
from payments.payout_facts import BANK
from payments.payout_tables import Payout


def set_aside(row: Payout) -> int:
    """What a payout takes from its source: the amount, and its fee unless the house bears it."""
    return row.amount + (0 if row.fee_paid_by == "house" else row.fee)


def reserve_of(source: str) -> str:
    """`merchant:<id>:available` -> `merchant:<id>:reserved`."""
    return f"{source.rpartition(':')[0]}:{Debt.RESERVED}"


def reserved(row: Payout, now: datetime) -> Entry:
    """Its money can be spent on nothing else. `generation` keeps the keys of a later time apart."""
    lines = transfer(row.asset, set_aside(row), debit=row.source, credit=reserve_of(row.source))
    return _entry(row, f"{row.generation}:reserved", Kind.PAYOUT_RESERVED, lines, {}, now)


def released(row: Payout, now: datetime) -> Entry:
    """All of it goes back, the fee too: gas that was spent is the house's."""
    lines = transfer(row.asset, set_aside(row), debit=reserve_of(row.source), credit=row.source)
    return _entry(row, f"{row.generation}:released", Kind.PAYOUT_RELEASED, lines, {}, now)


def paid(row: Payout, evidence: dict[str, Any], now: datetime, *, reverse: bool = False) -> Entry:
    """The hot wallet has paid it in a block, or (reverse) that block is gone. At a bank its account
    is on both sides of the line that shows it: here, and where the line is booked."""
    fee = set_aside(row) - row.amount
    sign = -1 if reverse else 1
    lines = [
        (reserve_of(row.source), set_aside(row)),
        (_paying(row), -row.amount),
        (FEES, -fee),
    ]
    postings = tuple(Posting(account, row.asset, sign * n) for account, n in lines if n)
    what, kind = ("reversed", Kind.PAYOUT_REVERSED) if reverse else ("paid", Kind.PAYOUT_PAID)
    return _entry(row, f"{row.generation}:{what}", kind, postings, evidence, now)


def _paying(row: Payout) -> str:
    if row.network == BANK:
        return under_way(ids.show("pay", row.id))
    return place(row.network, Role.HOT)


def _entry(
    row: Payout,
    what: str,
    kind: Kind,
    postings: tuple[Posting, ...],
    evidence: dict[str, Any],
    now: datetime,
) -> Entry:
    reference = ids.show("pay", row.id)
    return Entry(
        id=ids.new(),
        key=f"payout:{reference}:{what}",
        kind=kind,
        reference=reference,
        merchant_id=row.merchant_id,
        evidence=evidence,
        posted_at=now,
        postings=postings,
    )
