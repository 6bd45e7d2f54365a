"""Payments through our router: whose they are, and which transfers are only their evidence.

A `Paid` event is the deposit (MONEY 2). The Transfer or trace to the treasury in the same call is
how it was made: no second deposit, and no unknown inflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from chain.types import Batch, Movement, Paid
from core.networks import NATIVE

# The word of a quote is the invoice's id in 32 bytes; another word is none of our invoices.
BILLED = "select id, merchant_id from invoices where id = any(%s)"


def word_of(invoice_id: UUID) -> str:
    """An invoice's id as quotes carry it: 0x, 32 bytes."""
    return "0x" + invoice_id.int.to_bytes(32, "big").hex()


def invoice_of(word: str) -> UUID | None:
    number = int(word, 16)
    return None if number >> 128 else UUID(int=number)


def invoices_of(batch: Batch) -> list[UUID]:
    """Invoices that payments of these blocks name."""
    found = {invoice_of(paid.invoice) for paid in batch.payments}
    return [invoice_id for invoice_id in found if invoice_id is not None]


def evidence(
    payments: Sequence[Paid], movements: Iterable[Movement], router: str | None
) -> frozenset[tuple[str, str]]:
    """(tx_hash, position) of the transfers by which these payments reached the treasury: one for
    each at most, so that what a transaction moved besides keeps its own meaning."""
    if not payments:
        return frozenset()
    paid_in = {paid.tx_hash for paid in payments}
    left: dict[tuple[str, str, str, int], list[Movement]] = {}
    for one in movements:
        if one.tx_hash in paid_in:
            name = (one.tx_hash, one.token, one.recipient, one.amount)
            left.setdefault(name, []).append(one)
    claimed = set()
    for paid in payments:
        same = left.get((paid.tx_hash, paid.token, paid.treasury, paid.amount), [])
        own = _nearest(paid, same, router)
        if own is not None:
            same.remove(own)
            claimed.add((own.tx_hash, own.position))
    return frozenset(claimed)


def _nearest(paid: Paid, same: Sequence[Movement], router: str | None) -> Movement | None:
    """ETH leaves the router itself. A token's Transfer, from the payer or (by authorization) from
    the router, is told right before the event."""
    if paid.token == NATIVE:
        return next((one for one in same if one.sender == router), None)
    before = [
        (index, one)
        for one in same
        if one.sender in (paid.payer, router) and (index := _log_index(one)) < paid.log_index
    ]
    return max(before, key=lambda found: found[0])[1] if before else None


def _log_index(movement: Movement) -> int:
    return int(movement.position.removeprefix("log:"))


def known(
    payments: Iterable[Paid], merchants: Mapping[UUID, UUID]
) -> Mapping[str, tuple[UUID, UUID]]:
    """Word -> (merchant, invoice) of those that name an invoice of ours, by the rows of BILLED."""
    found = {}
    for paid in payments:
        invoice_id = invoice_of(paid.invoice)
        if invoice_id is not None and invoice_id in merchants:
            found[paid.invoice] = merchants[invoice_id], invoice_id
    return found
