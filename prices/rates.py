"""Prices as integers: quote per base, times 10**18. No float and no Decimal context."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.money import written

SCALE = 10**18
DECIMALS = 18
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_DECIMALS = 8  # what a price is printed with at least (API 2, an option's `rate`)


def half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator as an integer, half to even. Both positive."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))


def scaled(answer: int, decimals: int) -> int:
    """An answer in a feed's own decimals -> a price. Exact up to 18 decimals, else half even."""
    if decimals <= DECIMALS:
        return int(answer * 10 ** (DECIMALS - decimals))
    return half_even(answer, 10 ** (decimals - DECIMALS))


def show_price(price: int) -> str:
    """A price as text, exact: at least 8 decimals, more where there are some."""
    return written(price, DECIMALS, SHOWN_DECIMALS)


def age_seconds(updated_at: datetime, now: datetime) -> int:
    """Whole seconds since; 0 where the chain's clock runs ahead of ours."""
    return max(0, (now - updated_at) // timedelta(seconds=1))


def unix(moment: datetime) -> int:
    """Whole unix seconds, rounded down."""
    return (moment - EPOCH) // timedelta(seconds=1)
