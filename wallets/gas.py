"""The journal entry of a transaction's gas (MONEY 1): posted for every one that was mined."""

from __future__ import annotations

from datetime import datetime

from core import ids
from core.networks import NATIVE, Network
from ledger.accounts import GAS, Role, place
from ledger.journal import Entry, Kind, Posting
from wallets.transactions import Own


def entry(
    network: Network, own: Own, role: Role, generation: int, sign: int, now: datetime
) -> Entry:
    """Out of the wallet's place into the house's expense; sign -1: a fork took it back.

    `generation` counts how often the transaction was mined, so that each time has its own key.
    """
    coin = next(t for t in network.tokens if t.address == NATIVE).asset.symbol
    number = ids.show("tx", own.id)
    what = "paid" if sign > 0 else "reversed"
    return Entry(
        id=ids.new(),
        key=f"gas:{number}:{generation}:{what}",
        kind=Kind.GAS if sign > 0 else Kind.GAS_REVERSED,
        reference=number,
        merchant_id=None,
        evidence={
            "network": own.network,
            "block_number": own.block_number,
            "block_hash": own.block_hash,
            "tx_hash": own.tx_hash,
            "for": own.reference,
        },
        posted_at=now,
        postings=(
            Posting(GAS, coin, sign * own.gas_paid),
            Posting(place(network.id, role), coin, -sign * own.gas_paid),
        ),
    )
