"""Amounts: integers in an asset's base unit. No float passes through here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from core.errors import InvalidAmount

# API 1: ASCII only; pydantic's \d would accept full-width digits.
AMOUNT_PATTERN = r"^[0-9]{1,60}(\.[0-9]{1,30})?$"
_AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,30})?", re.ASCII)
# The most that NUMERIC(78,0) and a uint256 hold.
LARGEST = 10**78 - 1
# Exchanges count finer than a chain or a mint does: a fee of 0.00000123 EUR, 1.00000001 USDC.
VENUE_DECIMALS = 18


def written(units: int, decimals: int, least: int = 0) -> str:
    """Units of 10**-decimals -> decimal string, exact, with at least `least` decimals and as many
    more as it has: 2500, 0.0001, -1.5; with two at least 1000.00."""
    whole, fraction = divmod(abs(units), 10**decimals)
    digits = str(fraction).rjust(decimals, "0") if decimals else ""
    digits = digits.rstrip("0").ljust(least, "0")
    return f"{'-' if units < 0 else ''}{whole}{f'.{digits}' if digits else ''}"


@dataclass(frozen=True, slots=True)
class Asset:
    """What an amount counts: a symbol and how many decimals its base unit has.

    `quote_decimals` is how finely a customer is asked to pay (MONEY 4): exchanges cannot
    withdraw 18 decimals and people cannot type them.
    """

    symbol: str
    decimals: int
    quote_decimals: int
    is_fiat: bool = False
    is_fine: bool = False  # counted as venues do, see `at_venue`

    @property
    def code(self) -> str:
        """Its name in the ledger: the symbol, with the decimals where they are a venue's."""
        return f"{self.symbol}@{self.decimals}" if self.is_fine else self.symbol

    def at_venue(self) -> Asset:
        """The same thing as exchanges count it. Where that is finer it is an asset of its own in
        the ledger (`EUR@18`), so that every sum is exact; `ledger.units` goes between the two."""
        if self.decimals >= VENUE_DECIMALS:
            return self
        return replace(self, decimals=VENUE_DECIMALS, is_fine=True)

    def parse(self, text: str) -> int:
        """Major units as written by a person -> base units. Exact.

        Raises InvalidAmount when the text is no amount or finer than the asset.
        """
        if not _AMOUNT.fullmatch(text):
            raise InvalidAmount(f"{text[:80]!r} is not a decimal amount such as 25.00")
        whole, _, fraction = text.partition(".")
        if len(fraction.rstrip("0")) > self.decimals:
            raise InvalidAmount(f"{self.symbol} has {self.decimals} decimals")
        one: int = 10**self.decimals
        units = int(whole) * one
        units += int(fraction[: self.decimals].ljust(self.decimals, "0") or "0")
        if units > LARGEST:
            raise InvalidAmount("the amount is larger than any balance can be")
        return units

    def format(self, units: int) -> str:
        """Base units -> major units, with all of the asset's decimals."""
        sign = "-" if units < 0 else ""
        digits = str(abs(units)).rjust(self.decimals + 1, "0")
        if self.decimals == 0:
            return sign + digits
        return f"{sign}{digits[: -self.decimals]}.{digits[-self.decimals :]}"


def crypto(symbol: str, decimals: int, quote_decimals: int = 6) -> Asset:
    return Asset(symbol, decimals, min(quote_decimals, decimals))


# ISO 4217: the currencies an invoice may be written in, with their minor units. A currency is
# usable once a price for it is stored; without one it is refused, never guessed.
_ZERO = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
         "XAF", "XOF", "XPF")  # fmt: skip
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_TWO = (
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN",
    "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CNY",
    "COP", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD",
    "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR",
    "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR",
    "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK",
    "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP",
    "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP",
    "SLE", "SOS", "SRD", "SSP", "STN", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD",
    "TWD", "TZS", "UAH", "USD", "UYU", "UZS", "VES", "WST", "XCD", "YER", "ZAR", "ZMW",
)  # fmt: skip
FIAT: dict[str, Asset] = {
    code: Asset(code, places, places, is_fiat=True)
    for codes, places in ((_ZERO, 0), (_TWO, 2), (_THREE, 3))
    for code in codes
}
