"""A book kept from snapshots and changes is the book, level by level."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from exchanges.coinbase.depth import Depth
from exchanges.numbers import ONE, show
from exchanges.types import Level

AT = datetime(2026, 4, 7, tzinfo=UTC)
changes = st.lists(
    st.tuples(st.sampled_from(["bid", "offer"]), st.integers(1, 12), st.integers(0, 3)),
    max_size=30,
)


def event(kind: str, made: list[tuple[str, int, int]]) -> dict[str, object]:
    return {
        "type": kind,
        "updates": [
            {"side": side, "price_level": show(price * ONE), "new_quantity": show(quantity * ONE)}
            for side, price, quantity in made
        ],
    }


@given(changes, st.lists(changes, max_size=5))
def test_it_is_what_the_last_word_on_each_price_says(
    snapshot: list[tuple[str, int, int]], updates: list[list[tuple[str, int, int]]]
) -> None:
    depth = Depth("ETH-EUR")
    assert depth.take(event("update", snapshot), AT, AT) is None  # nothing to build on
    expected: dict[tuple[str, int], int] = {}
    last = 0
    for number, made in enumerate([snapshot, *updates]):
        expected |= {(side, price): quantity for side, price, quantity in made}
        kind = "snapshot" if number == 0 else "update"
        book = depth.take(event(kind, made), AT - timedelta(seconds=number), AT)
        assert book is not None
        assert book.sequence > last
        last = book.sequence
        for side, levels, backwards in (("bid", book.bids, True), ("offer", book.asks, False)):
            prices = [p for (s, p), quantity in expected.items() if s == side and quantity]
            assert levels == tuple(
                Level(price * ONE, expected[side, price] * ONE)
                for price in sorted(prices, reverse=backwards)
            )
    depth.forget()
    assert depth.take(event("update", snapshot), AT, AT) is None


def test_no_more_than_the_best_500_are_told() -> None:
    depth = Depth("ETH-EUR")
    made = [("bid", price, 1) for price in range(1, 1001)]
    book = depth.take(event("snapshot", made), AT, AT)
    assert book is not None
    assert [level.price // ONE for level in book.bids] == list(range(1000, 500, -1))
