"""A book kept by changes is the book that the venue has, or it is a gap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import wall
from exchanges.binance.depth import Depth, Gap
from exchanges.numbers import ONE, show
from exchanges.types import Level

CHANGES = st.lists(
    st.tuples(st.sampled_from("ba"), st.integers(1, 6), st.integers(0, 3)), max_size=40
)


class Venue:
    """A book that numbers its changes: bids below 10, asks above."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        self.last = 100

    def change(self, several: list[tuple[str, int, int]]) -> dict[str, Any]:
        first = self.last + 1
        told: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        for side, price, quantity in several:
            price = 10 - price if side == "b" else 10 + price
            self.last += 1
            told[side][price] = quantity
            self.sides[side][price] = quantity
        return {
            "U": first,
            "u": self.last,
            **{s: [[show(p * ONE), show(q * ONE)] for p, q in told[s].items()] for s in "ba"},
        }

    def snapshot(self) -> dict[str, Any]:
        levels = {
            s: [[show(p * ONE), show(q * ONE)] for p, q in self.sides[s].items() if q] for s in "ba"
        }
        return {"lastUpdateId": self.last, "bids": levels["b"], "asks": levels["a"]}

    def levels(self, side: str) -> tuple[Level, ...]:
        there = [(p, q) for p, q in self.sides[side].items() if q]
        return tuple(Level(p * ONE, q * ONE) for p, q in sorted(there, reverse=side == "b"))


def cut(changes: list[tuple[str, int, int]], sizes: list[int]) -> list[list[tuple[str, int, int]]]:
    parts = []
    for size in sizes:
        parts.append(changes[:size])
        changes = changes[size:]
    return [part for part in [*parts, changes] if part]


@given(CHANGES, st.lists(st.integers(1, 5), max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_whenever_the_snapshot_comes_the_book_is_the_venues(
    changes: list[tuple[str, int, int]], sizes: list[int], connected: int, asked: int
) -> None:
    venue, book = Venue(), Depth("ETH-EUR")
    events, snapshots = [], [venue.snapshot()]
    for part in cut(changes, sizes):
        events.append(venue.change(part))
        snapshots.append(venue.snapshot())
    connected = min(connected, len(events))
    asked = min(max(asked, connected), len(events))
    for event in events[connected:]:
        assert not book.apply(event)  # held
    book.begin(snapshots[asked])
    for event in events[max(0, asked - 2) :]:
        book.apply(event)  # twice is once
    seen = book.book(100, wall())
    assert (seen.bids, seen.asks) == (venue.levels("b"), venue.levels("a"))
    assert seen.sequence == venue.last


@given(st.integers(0, 3))
def test_what_is_missing_is_a_gap(lost: int) -> None:
    venue, book = Venue(), Depth("ETH-EUR")
    book.begin(venue.snapshot())
    events = [venue.change([("b", 1, 1), ("a", 2, 1)]) for _ in range(5)]
    del events[lost]
    assert all(book.apply(event) for event in events[:lost])
    with pytest.raises(Gap):
        book.apply(events[lost])


def test_a_snapshot_older_than_the_first_change_is_a_gap() -> None:
    venue, book = Venue(), Depth("ETH-EUR")
    old = venue.snapshot()
    venue.change([("b", 1, 1)])
    book.apply(venue.change([("b", 2, 1)]))
    with pytest.raises(Gap):
        book.begin(old)


def test_beyond_a_full_snapshot_nothing_is_known() -> None:
    venue, book = Venue(), Depth("ETH-EUR", full=4)
    venue.change([("b", price, 1) for price in (1, 2, 3, 4)])
    book.begin(venue.snapshot())
    book.apply(venue.change([("b", 6, 1)]))
    assert [level.price // ONE for level in book.book(9, wall()).bids] == [9, 8, 7, 6]
    assert not book.wears_thin
    book.apply(venue.change([("b", 1, 0), ("b", 2, 0), ("b", 3, 0)]))
    assert book.wears_thin  # the side says no more than one level of four
