"""What venues' assets are called in the ledger, and how their amounts are shown."""

from __future__ import annotations

from core.money import FIAT, VENUE_DECIMALS
from core.networks import Catalog
from exchanges.numbers import show


def ledger_code(catalog: Catalog, symbol: str) -> str:
    """A venue's asset -> its code in the books (`Asset.at_venue`): ETH, EUR@18. One that the house
    does not know (a fee in BNB, an airdrop) is counted all the same: BNB@18."""
    asset = catalog.asset(symbol)
    return asset.at_venue().code if asset is not None else f"{symbol}@{VENUE_DECIMALS}"


def show_amount(symbol: str, units: int) -> str:
    """Units of 10**-18 -> major units: the shortest exact string, of fiat at least its minor
    units (`1000.00`)."""
    shown = show(units)
    fiat = FIAT.get(symbol)
    if fiat is None or fiat.decimals == 0:
        return shown
    whole, _, fraction = shown.partition(".")
    return f"{whole}.{fraction.ljust(fiat.decimals, '0')}"
