"""Ranges grow and shrink, cover everything once, and never give up before one item is refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.ranges import Range, spread, together
from core.errors import EndpointFailed, RangeTooLarge, TimedOut


@pytest.mark.parametrize(
    ("start", "asked", "seconds", "after"),
    [
        (100, 100, 0.1, 200),
        (100, 40, 0.1, 100),  # the last, smaller piece says nothing about more
        (100, 100, 1.0, 100),
        (100, 100, 5.0, 50),
        (1500, 1500, 0.1, 2000),
        (1, 1, 5.0, 1),
    ],
)
def test_a_range_follows_the_time_an_answer_takes(
    start: int, asked: int, seconds: float, after: int
) -> None:
    sizing = Range(start, largest=2000)
    sizing.answered(asked, seconds)
    assert sizing.size == after


def test_refusals_at_the_same_time_count_once() -> None:
    sizing = Range(100, largest=2000)
    sizing.refused(100)
    sizing.refused(100)
    assert sizing.size == 50
    for _ in range(20):
        sizing.refused(sizing.size)
    assert sizing.size == 1


@given(
    count=st.integers(0, 300),
    allowed=st.integers(1, 64),
    start=st.integers(1, 200),
    at_once=st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_every_item_is_fetched_once_whatever_is_allowed(
    count: int, allowed: int, start: int, at_once: int
) -> None:
    got: list[int] = []
    refusals = 0

    async def fetch(a: int, b: int) -> None:
        nonlocal refusals
        await asyncio.sleep(0)
        if b - a + 1 > allowed:
            refusals += 1
            raise RangeTooLarge("too many")
        got.extend(range(a, b + 1))

    asyncio.run(spread(10, 9 + count, Range(start, largest=256), fetch, at_once=at_once))
    assert sorted(got) == list(range(10, 10 + count))


async def test_one_item_refused_is_refused_for_good() -> None:
    async def fetch(a: int, b: int) -> None:
        if a <= 5 <= b:
            raise RangeTooLarge("never this one")

    with pytest.raises(RangeTooLarge):
        await spread(0, 9, Range(4, largest=8), fetch)


async def test_a_timeout_is_raised_at_once_and_asks_for_less_next_time() -> None:
    sizing = Range(8, largest=8)
    asked = 0

    async def fetch(a: int, b: int) -> None:
        nonlocal asked
        asked += 1
        raise TimedOut("slow")

    with pytest.raises(TimedOut):
        await spread(0, 7, sizing, fetch)
    assert (asked, sizing.size) == (1, 4)


async def test_the_first_error_ends_the_others() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise EndpointFailed("x")

    with pytest.raises(EndpointFailed):
        await together(waits(), fails())
    assert ended.is_set()


def test_a_fixed_limit_does_not_refuse_every_second_request() -> None:
    """A node that allows 7: after the first refusals, one more in 16 answers."""
    sizing = Range(100, largest=2000)
    refusals = 0
    for _ in range(300):
        if sizing.size > 7:
            refusals += 1
            sizing.refused(sizing.size)
        else:
            sizing.answered(sizing.size, 0.1)
    assert refusals < 300 / 16 + 5
    assert sizing.size >= 6


def test_a_limit_that_was_lifted_is_found_out() -> None:
    sizing = Range(100, largest=2000)
    sizing.refused(100)
    for _ in range(2000):
        sizing.answered(sizing.size, 0.1)
    assert sizing.size == 2000
