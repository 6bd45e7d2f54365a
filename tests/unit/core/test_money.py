"""Amounts as text: exact, the shortest, or with as many decimals as wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import Asset, written

ETH = Asset("ETH", 18, 6)


@pytest.mark.parametrize(
    ("units", "decimals", "least", "text"),
    [
        (0, 18, 0, "0"),
        (0, 2, 2, "0.00"),
        (2500 * 10**18, 18, 0, "2500"),
        (10**14, 18, 0, "0.0001"),
        (-15 * 10**17, 18, 0, "-1.5"),
        (-1, 18, 0, "-0.000000000000000001"),
        (1000 * 10**18, 18, 2, "1000.00"),
        (10**15, 18, 2, "0.001"),
        (7, 0, 0, "7"),
    ],
)
def test_written(units: int, decimals: int, least: int, text: str) -> None:
    assert written(units, decimals, least) == text


@given(st.integers(-(10**60), 10**60))
def test_with_all_decimals_it_is_the_asset_s_own_way(units: int) -> None:
    assert written(units, 18, 18) == ETH.format(units)
