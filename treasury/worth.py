"""What amounts are worth in the house currency at the stored prices, or why nobody can say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from core.errors import PriceUnavailable
from core.money import VENUE_DECIMALS, Asset, written
from core.networks import Catalog
from ledger.reads import decimals
from ledger.reads import symbol as symbol_of
from prices.book import PriceBook, Rate
from prices.rates import SCALE


@dataclass(frozen=True, slots=True)
class Worth:
    """Values assets now. A value is an exact fraction of one unit of the house currency and is
    rounded once, half to even, when it is shown."""

    catalog: Catalog
    prices: PriceBook
    now: datetime

    @property
    def currency(self) -> Asset:
        found = self.catalog.asset(self.catalog.house_currency)
        if found is None:
            raise PriceUnavailable(f"{self.catalog.house_currency} is no currency")
        return found

    def rate(self, symbol: str) -> Rate | None:
        try:
            return self.prices.rate(symbol, self.catalog.house_currency, self.now)
        except PriceUnavailable:
            return None

    def why(self, symbol: str) -> str | None:
        """Why it has no price now; None when it has one."""
        try:
            self.prices.rate(symbol, self.catalog.house_currency, self.now)
        except PriceUnavailable as error:
            return error.detail
        return None

    def of(self, symbol: str, amount: Fraction) -> Fraction | None:
        """Major units of an asset -> major units of the house currency."""
        if not amount:
            return Fraction(0)
        rate = self.rate(symbol)
        return None if rate is None else amount * rate.price / SCALE

    def units(self, symbol: str, units: int) -> Fraction | None:
        """Units of an asset's finest count -> its value."""
        return self.of(symbol, Fraction(units, 10 ** finest(self.catalog, symbol)))

    def show(self, value: Fraction | None) -> str | None:
        """With the currency's decimals."""
        if value is None:
            return None
        return self.currency.format(round(value * 10**self.currency.decimals))


def finest(catalog: Catalog, symbol: str) -> int:
    """Decimals of the units in which an asset is counted over all places (`Asset.at_venue`)."""
    asset = catalog.asset(symbol)
    return asset.at_venue().decimals if asset is not None else VENUE_DECIMALS


def fine(catalog: Catalog, code: str, units: int) -> int:
    """Units of an asset of the ledger (`EUR`, `EUR@18`) -> units of its finest count. Exact."""
    return int(units * 10 ** (finest(catalog, symbol_of(code)) - decimals(catalog, code)))


def show_units(catalog: Catalog, symbol: str, units: int) -> str:
    """Units of the finest count -> major units: the shortest exact string, of fiat at least its
    minor units."""
    asset = catalog.asset(symbol)
    least = asset.decimals if asset is not None and asset.is_fiat else 0
    return written(units, finest(catalog, symbol), least)
