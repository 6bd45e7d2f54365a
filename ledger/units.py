"""One thing, two ways to count it: as its chain or mint does, and as venues do (`EUR@18`).

Postings sum to zero per asset, so money that goes between the two crosses the account `units`,
which holds the same amount of both with opposite signs: worth nothing, always.
"""

from __future__ import annotations

from core.money import Asset
from ledger.accounts import UNITS
from ledger.journal import Posting


def fine(asset: Asset, units: int) -> int:
    """Base units of `asset` -> units of `asset.at_venue()`. Exact."""
    return int(units * 10 ** (asset.at_venue().decimals - asset.decimals))


def coarse(asset: Asset, units: int) -> tuple[int, int]:
    """Units of `asset.at_venue()` -> whole base units of `asset`, rounded down, and the rest in
    venue's units."""
    one: int = 10 ** (asset.at_venue().decimals - asset.decimals)
    return units // one, units % one


def cross(asset: Asset, amount: int, *, debit: str, credit: str) -> tuple[Posting, ...]:
    """`amount` base units into a venue's place: `debit` counts as venues do, `credit` as the asset.
    A negative amount goes the other way."""
    venue = asset.at_venue()
    if venue.code == asset.code:
        return Posting(debit, asset.code, amount), Posting(credit, asset.code, -amount)
    exact = fine(asset, amount)
    return (
        Posting(debit, venue.code, exact),
        Posting(UNITS, venue.code, -exact),
        Posting(UNITS, asset.code, amount),
        Posting(credit, asset.code, -amount),
    )
