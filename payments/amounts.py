"""What a request for an invoice says in numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from core.errors import Invalid, InvalidAmount
from core.money import Asset
from core.networks import Catalog

_PERCENT = re.compile(r"[0-9](\.[0-9]{1,6})?", re.ASCII)
LARGEST_TOLERANCE = 5  # percent


def amounts(
    catalog: Catalog, amount: str, code: str, tolerance_percent: str
) -> tuple[Asset, int, int]:
    """Currency, amount and tolerance (rounded down) in the currency's base units.

    Raises Invalid naming the field.
    """
    currency = catalog.asset(code)
    known = catalog.currencies
    if currency is None or currency.symbol not in known:
        listed = ", ".join(sorted(known))
        raise Invalid.of("currency", f"{code!r} has no price here; known: {listed}")
    try:
        units = currency.parse(amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if units == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    return currency, units, int(units * _share(tolerance_percent))


@lru_cache(maxsize=1024)
def _share(percent: str) -> Fraction:
    """Raises Invalid."""
    if not _PERCENT.fullmatch(percent) or Fraction(percent) > LARGEST_TOLERANCE:
        raise Invalid.of("tolerance_percent", 'is a decimal from "0" to "5"')
    return Fraction(percent) / 100
