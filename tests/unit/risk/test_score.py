"""A deposit's score: every reason at its edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.score import Facts, score

USUAL = Facts(
    seen_before=3,
    value=5_000,
    habit=100,
    usual=10_000,
    from_address_hour=0,
    merchant_hour=5,
    merchant_month=3_000,
)
COUNTS = st.integers(0, 10_000)
FACTS = st.builds(
    Facts,
    seen_before=COUNTS,
    value=st.none() | st.integers(0, 10**9),
    habit=COUNTS,
    usual=st.none() | st.integers(0, 10**6),
    from_address_hour=COUNTS,
    merchant_hour=COUNTS,
    merchant_month=COUNTS,
    mixer_lists=st.sampled_from([(), ("a",), ("a", "b")]),
)


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({}, {}),
        ({"seen_before": 0}, {"new_address": 10}),
        ({"value": None}, {"no_price": 10}),
        ({"value": 29_999}, {}),
        ({"value": 30_000}, {"amount_above_habit": 20}),
        ({"value": 99_999}, {"amount_above_habit": 20}),
        ({"value": 100_000}, {"amount_above_habit": 35}),
        ({"value": 499_999}, {"amount_above_habit": 35}),
        ({"value": 500_000}, {"amount_above_habit": 50}),
        ({"value": 500_000, "habit": 19}, {}),
        ({"value": 500_000, "habit": 20}, {"amount_above_habit": 50}),
        ({"value": 500_000, "usual": None}, {}),
        ({"value": 500_000, "usual": 0}, {}),
        ({"from_address_hour": 9}, {}),
        ({"from_address_hour": 10}, {"velocity_address": 20}),
        ({"from_address_hour": 50}, {"velocity_address": 40}),
        # 720 a month is one an hour
        ({"merchant_month": 720, "merchant_hour": 19}, {}),
        ({"merchant_month": 720, "merchant_hour": 20}, {"velocity_merchant": 20}),
        ({"merchant_month": 720, "merchant_hour": 49}, {"velocity_merchant": 20}),
        ({"merchant_month": 720, "merchant_hour": 50}, {"velocity_merchant": 40}),
        ({"merchant_month": 3_000, "merchant_hour": 41}, {}),
        ({"merchant_month": 3_000, "merchant_hour": 42}, {"velocity_merchant": 20}),
        ({"merchant_month": 19, "merchant_hour": 20}, {}),
        ({"mixer_lists": ("tornado",)}, {"mixer": 60}),
        ({"mixer_lists": ("a", "b")}, {"mixer": 60}),
        (
            {"mixer_lists": ("a",), "seen_before": 0, "value": 500_000},
            {"mixer": 60, "new_address": 10, "amount_above_habit": 50},
        ),
    ],
)
def test_each_reason(change: dict[str, Any], points: dict[str, int]) -> None:
    found = score(replace(USUAL, **change))
    assert {point.code: point.points for point in found.points} == points
    assert found.value == min(100, sum(points.values()))
    assert all(point.detail for point in found.points)


@given(FACTS)
def test_a_score_is_the_sum_of_its_reasons(facts: Facts) -> None:
    found = score(facts)
    assert found.value == min(100, sum(point.points for point in found.points))
    assert 0 <= found.value <= 100
    assert len({point.code for point in found.points}) == len(found.points)


@given(FACTS, st.integers(1, 10**9))
def test_more_money_never_scores_less(facts: Facts, more: int) -> None:
    if facts.value is not None:
        assert score(replace(facts, value=facts.value + more)).value >= score(facts).value
