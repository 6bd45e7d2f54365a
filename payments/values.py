"""What an amount is worth: exact rationals, rounded once, and the rounding is named."""

from __future__ import annotations

from fractions import Fraction

from core.money import LARGEST, Asset

SCALE: int = 10**18  # a price is quote per base, times SCALE


def worth(units: int, decimals: int, price: int, currency_decimals: int) -> Fraction:
    """Base units of an asset -> exact base units of the currency."""
    return Fraction(units * price * 10**currency_decimals, SCALE * 10**decimals)


def floor(value: Fraction) -> int:
    """Rounded down: what a customer has paid is never shown as more than it was worth.

    And at most what a column holds: 2^256 units of a cheap token, valued in a currency of 18
    decimals, must not stop the network whose block carries them.
    """
    return min(value.numerator // value.denominator, LARGEST)


def owed(amount: int, currency: Asset, asset: Asset, price: int) -> int:
    """Base units of the currency -> base units of the asset, rounded up to its quote decimals."""
    step: int = 10 ** (asset.decimals - min(asset.quote_decimals, asset.decimals))
    worth_of_step = price * 10**currency.decimals * step
    return int(-(-amount * SCALE * 10**asset.decimals // worth_of_step) * step)
