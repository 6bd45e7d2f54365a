"""What goes between hot wallets and treasury: nothing while it is well, never back and forth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.networks import HotLevel
from treasury.hot_levels import wanted


@pytest.mark.parametrize(
    ("level", "hot", "treasury", "moves"),
    [
        (HotLevel(target=100), 50, 1000, 0),
        (HotLevel(target=100), 49, 1000, 51),
        (HotLevel(target=100), 0, 30, 30),
        (HotLevel(target=100), 0, 0, 0),
        (HotLevel(target=100), -5, -5, 0),
        (HotLevel(target=100), 10_000, 0, 0),
        (HotLevel(target=100, most=200), 200, 0, 0),
        (HotLevel(target=100, most=200), 201, 0, -101),
        (HotLevel(target=0, most=0), 1, 0, -1),
    ],
)
def test_table(level: HotLevel, hot: int, treasury: int, moves: int) -> None:
    assert wanted(level, hot, treasury) == moves


UNITS = st.integers(0, 2**80)


@given(UNITS, UNITS, UNITS, UNITS)
def test_after_one_move_nothing_more_is_wanted(
    target: int, above: int, hot: int, treasury: int
) -> None:
    level = HotLevel(target=target, most=target + above)
    units = wanted(level, hot, treasury)
    assert -hot <= units <= treasury
    again = wanted(level, hot + units, treasury - units)
    assert again == 0 or (again > 0 and treasury - units < again)
