"""What venues' assets are called in the ledger, and how their amounts are shown."""

from __future__ import annotations

from core.money import FIAT, VENUE_DECIMALS, written
from core.networks import Catalog


def ledger_code(catalog: Catalog, symbol: str) -> str:
    """A venue's asset -> its code in the books (`Asset.at_venue`): ETH, EUR@18. One that the house
    does not know (a fee in BNB, an airdrop) is counted all the same: BNB@18."""
    asset = catalog.asset(symbol)
    return asset.at_venue().code if asset is not None else f"{symbol}@{VENUE_DECIMALS}"


def show_amount(symbol: str, units: int) -> str:
    """Units of 10**-18 -> major units: the shortest exact string, of fiat at least its minor
    units (`1000.00`)."""
    fiat = FIAT.get(symbol)
    return written(units, VENUE_DECIMALS, fiat.decimals if fiat is not None else 0)
