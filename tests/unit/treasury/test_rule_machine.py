"""How much a rule converts: nothing twice, nothing lost, never beyond its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.settings import numbers
from treasury.rule_machine import PERIOD, Basis, Found, Judgement, Reason, Terms, judge, next_due

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("terms", "found", "answer"),
    [
        ({}, {}, (0, 0, Reason.NOTHING)),
        ({"share": HALF}, {"counted": 11}, (5, 0, None)),
        ({}, {"counted": 11, "left_over": 4}, (15, 0, None)),
        ({"minimum": 12}, {"counted": 11}, (0, 11, Reason.BELOW_MINIMUM)),
        ({"minimum": 12}, {"counted": 1, "left_over": 11}, (12, 0, None)),
        ({"daily_limit": 10}, {"counted": 11, "converted_today": 3}, (7, 4, None)),
        ({"daily_limit": 10}, {"counted": 11, "converted_today": 10}, (0, 11, Reason.DAILY_LIMIT)),
        (
            {"daily_limit": 10, "minimum": 5},
            {"counted": 11, "converted_today": 6},
            (0, 11, Reason.DAILY_LIMIT),
        ),
        ({}, {"counted": -5, "left_over": 3}, (0, -2, Reason.NOTHING)),
        ({"step": 10}, {"counted": 25}, (20, 5, None)),
        ({"step": 10}, {"counted": 9}, (0, 9, Reason.BELOW_MINIMUM)),
        ({"basis": Basis.FIAT_AT_FILL}, {"standing": 9}, (9, 0, None)),
        ({"basis": Basis.HELD, "threshold": 5, "share": HALF}, {"standing": 9}, (2, 0, None)),
        ({"basis": Basis.HELD, "threshold": 9}, {"standing": 9}, (0, 0, Reason.NOTHING)),
    ],
)
def test_a_look(
    terms: dict[str, object], found: dict[str, int], answer: tuple[int, int, Reason | None]
) -> None:
    base: dict[str, object] = {"basis": Basis.SETTLED, "share": Fraction(1)}
    assert judge(Terms(**(base | terms)), Found(**found)) == Judgement(*answer)  # type: ignore[arg-type]


@settings(max_examples=numbers(200, 10_000), deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 100), st.integers(0, 100)), max_size=30),
    st.integers(1, 100),
    st.integers(0, 40),
    st.none() | st.integers(0, 60),
    st.sampled_from([1, 10]),
)
def test_whatever_settles_is_converted_once(
    looks: list[tuple[int, int]], percent: int, minimum: int, limit: int | None, step: int
) -> None:
    """Looks on one day; each conversion gives only a part of what it was to give."""
    terms = Terms(
        basis=Basis.SETTLED,
        share=Fraction(percent, 100),
        minimum=minimum,
        daily_limit=limit,
        step=step,
    )
    left = given_ = shares = 0
    for counted, part in looks:
        shares += floor(Fraction(counted * percent, 100))
        before = left + floor(Fraction(counted * percent, 100))
        found = Found(left_over=left, counted=counted, converted_today=given_)
        answer = judge(terms, found)
        assert answer.amount >= 0
        assert (answer.amount == 0) == (answer.reason is not None)
        assert answer.amount == 0 or answer.amount >= minimum
        assert answer.amount <= max(0, before)
        assert answer.amount % step == 0
        came = answer.amount * part // 100
        given_ += came
        left = answer.left_over + answer.amount - came
        assert limit is None or given_ <= limit
        assert left + given_ == shares
        room = max(0, before) if limit is None else min(max(0, before), limit - given_ + came)
        able = room - room % step
        assert answer.amount == (able if able >= max(1, minimum) else 0)


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("on_settlement", NOW + PERIOD),
        ("0 6 * * *", datetime(2026, 11, 23, 6, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2026, 11, 22, 10, 45, tzinfo=UTC)),
        ("30 10 * * *", NOW + timedelta(days=1)),  # never at the very moment
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_when_it_is_due(schedule: str, at: datetime) -> None:
    assert next_due(schedule, NOW) == at


@pytest.mark.parametrize("schedule", ["", "now", "* * * *", "61 * * * *", "0 0 30 2 *"])
def test_no_schedule(schedule: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        next_due(schedule, NOW)
