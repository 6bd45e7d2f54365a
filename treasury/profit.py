"""What conversions brought (MONEY 1): `trading` holds what was given and got, fees and the
difference to the quotes have accounts of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ledger.accounts import EXCHANGE_FEES, SLIPPAGE, TRADING
from treasury.worth import Worth, show_units

ACCOUNTS = (TRADING, EXCHANGE_FEES, SLIPPAGE)

# (account, symbol) -> units of the finest count, debit positive
Balances = Mapping[tuple[str, str], int]


def profit_json(worth: Worth, balances: Balances) -> dict[str, Any]:
    """At today's prices: `trading` is what conversions got less what they gave, `fees` what venues
    took besides, `value` both together: what the house has more than if it had converted nothing.
    `against_quotes` says how much of it went otherwise than quoted."""
    both: Counter[str] = Counter()
    for (account, symbol), units in balances.items():
        if account in (TRADING, EXCHANGE_FEES):
            both[symbol] -= units
    values = [worth.units(symbol, units) for symbol, units in both.items()]
    known = [value for value in values if value is not None]
    complete = len(known) == len(values)
    return {
        "trading": _lines(worth, balances, TRADING),
        "fees": _lines(worth, balances, EXCHANGE_FEES),
        "against_quotes": _lines(worth, balances, SLIPPAGE),
        "value": worth.show(sum(known, Fraction(0))) if complete else None,
    }


def _lines(worth: Worth, balances: Balances, account: str) -> list[dict[str, Any]]:
    """One for each asset; a gain is positive."""
    return [
        {
            "asset": symbol,
            "amount": show_units(worth.catalog, symbol, -units),
            "value": worth.show(worth.units(symbol, -units)),
        }
        for (name, symbol), units in sorted(balances.items())
        if name == account and units
    ]
