"""Entries to fill a ledger with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from core import ids
from core.db import Database
from ledger import accounts
from ledger.journal import Entry, Kind, post, transfer

START = datetime(2026, 11, 22, 10, 0, 0, 250_000, UTC)
PLACE = "network:eip155:31337:deposits"


def entry(n: int, merchant_id: UUID, amount: int = 10**16, asset: str = "ETH") -> Entry:
    """Deposit number n, seen n minutes after START."""
    return Entry(
        id=ids.new(),
        key=f"deposit:{n}:1:seen",
        kind=Kind.DEPOSIT_SEEN,
        reference=f"dep_{n}",
        merchant_id=merchant_id,
        evidence={"block_hash": f"0x{n:064x}", "log": n, "note": "über 1.10", "none": None},
        posted_at=START + timedelta(minutes=n),
        postings=transfer(
            asset,
            amount,
            debit=PLACE,
            credit=accounts.merchant(merchant_id, accounts.Debt.PENDING),
        ),
    )


def confirmed(n: int, merchant_id: UUID, amount: int = 10**16, asset: str = "ETH") -> Entry:
    """The confirmation of deposit number n, ten minutes after it was seen."""
    return Entry(
        id=ids.new(),
        key=f"deposit:{n}:1:confirmed",
        kind=Kind.DEPOSIT_CONFIRMED,
        reference=f"dep_{n}",
        merchant_id=merchant_id,
        evidence={},
        posted_at=START + timedelta(minutes=n + 10),
        postings=transfer(
            asset,
            amount,
            debit=accounts.merchant(merchant_id, accounts.Debt.PENDING),
            credit=accounts.merchant(merchant_id, accounts.Debt.AVAILABLE),
        ),
    )


async def write(database: Database, *entries: Entry) -> None:
    async with database.begin() as session:
        await post(session, entries)
