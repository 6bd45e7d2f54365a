"""Integer prices: exact, rounded where it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prices.rates import SCALE, age_seconds, half_even, scaled, show_price, unix

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [(1, 2, 0), (3, 2, 2), (5, 2, 2), (7, 2, 4), (4, 3, 1), (5, 3, 2), (0, 9, 0), (10, 5, 2)],
)
def test_half_even(above: int, below: int, expected: int) -> None:
    assert half_even(above, below) == expected


@given(st.integers(0, 10**80), st.integers(1, 10**80))
def test_half_even_is_what_python_rounds_fractions_to(above: int, below: int) -> None:
    assert half_even(above, below) == round(Fraction(above, below))


@pytest.mark.parametrize(
    ("answer", "decimals", "expected"),
    [
        (250_000_000_000, 8, 2500 * SCALE),
        (110, 2, SCALE * 11 // 10),
        (7, 0, 7 * SCALE),
        (123, 18, 123),
        (1250, 20, 12),
        (1350, 20, 14),
    ],
)
def test_scaled(answer: int, decimals: int, expected: int) -> None:
    assert scaled(answer, decimals) == expected


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (2500 * SCALE, "2500.00000000"),
        (1, "0.000000000000000001"),
        (SCALE * 11 // 10, "1.10000000"),
        (12_345 * 10**9, "0.000012345"),
        (0, "0.00000000"),
    ],
)
def test_show_price(price: int, expected: str) -> None:
    assert show_price(price) == expected


def test_time() -> None:
    assert age_seconds(NOW - timedelta(seconds=3, milliseconds=900), NOW) == 3
    assert age_seconds(NOW + timedelta(seconds=9), NOW) == 0
    assert unix(datetime(1970, 1, 1, 0, 0, 1, 999_999, UTC)) == 1
