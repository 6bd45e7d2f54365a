"""Price-time priority, against a naive twin that sorts everything anew for each order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exchanges.matching import Orders, Resting
from tests.settings import numbers

SIDES = st.sampled_from(["buy", "sell"])
SMALL = st.integers(1, 12)


@dataclass
class Stands:
    """An order of the twin's book; `came` is its place in time."""

    side: str
    price: int
    quantity: int
    came: int


class Twin:
    """A list, and the rule word for word: the best price first, then whoever came first."""

    def __init__(self) -> None:
        self.orders: list[Stands] = []

    def match(self, side: str, quantity: int, limit: int) -> list[tuple[int, int, int]]:
        """Who was met, at what price, for how much."""
        found = []
        others = [o for o in self.orders if o.side != side]
        sign = 1 if side == "buy" else -1
        for other in sorted(others, key=lambda o: (sign * o.price, o.came)):
            taken = min(quantity, other.quantity)
            if taken and sign * other.price <= sign * limit:
                found.append((other.came, other.price, taken))
                other.quantity -= taken
                quantity -= taken
        self.orders = [o for o in self.orders if o.quantity]
        return found


def leave(orders: Orders, side: str, came: int) -> None:
    orders.sides[side].keep(lambda resting: resting.order_id != came)


@settings(max_examples=numbers(200, 5_000), deadline=None)
@given(
    st.lists(
        st.tuples(SIDES, SMALL, SMALL, st.sampled_from(["take", "rest", "leave"])), max_size=40
    )
)
def test_orders_meet_by_price_then_by_time(steps: list[tuple[str, int, int, str]]) -> None:
    orders, twin = Orders(), Twin()
    for came, (side, price, quantity, way) in enumerate(steps):
        if way == "leave":  # whoever came at that step goes, if he is still there
            leave(orders, side, price)
            twin.orders = [o for o in twin.orders if (o.side, o.came) != (side, price)]
            continue
        expected = twin.match(side, quantity, price)
        available = orders.available(side, price)
        met = orders.match(side, quantity, price)
        assert [(m.resting.order_id, m.price, m.quantity) for m in met] == expected
        filled = sum(m.quantity for m in met)
        assert filled == min(quantity, available)
        if way == "rest" and filled < quantity:
            orders.sides[side].add(Resting(price, quantity - filled, came))
            twin.orders.append(Stands(side, price, quantity - filled, came))
    for side, ladder in orders.sides.items():
        left = [o for o in twin.orders if o.side == side]
        sign = -1 if side == "buy" else 1
        left.sort(key=lambda o: (sign * o.price, o.came))
        assert [(r.order_id, r.quantity) for r in ladder] == [(o.came, o.quantity) for o in left]
        assert list(ladder.levels()) == sorted({o.price for o in left}, reverse=side == "buy")
        assert ladder.best == (left[0].price if left else None)


def test_a_book_never_stands_crossed() -> None:
    orders = Orders()
    orders.sides["sell"].add(Resting(10, 5, 1))
    assert orders.match("buy", 3, 9) == []
    assert [(m.price, m.quantity) for m in orders.match("buy", 9, 12)] == [(10, 5)]
    assert orders.sides["sell"].best is None
