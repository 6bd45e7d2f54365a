"""What `quantise` returns is what a venue's own filters accept, within the given funds, exactly."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import OrderRefused
from exchanges.numbers import ONE, parse, show
from exchanges.quantise import quantise
from exchanges.types import Market, Side

STEPS = st.integers(0, 10).map(lambda places: 10 ** (18 - places)) | st.sampled_from(
    [parse("0.05"), parse("0.25"), parse("2.5"), parse("7")]
)


def market(**rules: int | None) -> Market:
    plain: dict[str, int | None] = {
        "tick": parse("0.01"),
        "step": parse("0.0001"),
        "min_quantity": parse("0.0001"),
        "max_quantity": None,
        "min_notional": parse("5"),
        "max_notional": None,
    }
    return Market(
        symbol="ETH-EUR",
        native="ETHEUR",
        base="ETH",
        quote="EUR",
        taker_fee=parse("0.001"),
        trading=True,
        **{**plain, **rules},  # type: ignore[arg-type]
    )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    least = draw(st.integers(0, 10**20))
    smallest = draw(st.integers(0, 10**22))
    return market(
        tick=draw(STEPS),
        step=draw(STEPS),
        min_quantity=least,
        max_quantity=draw(st.none() | st.integers(least, 10**30)),
        min_notional=smallest,
        max_notional=draw(st.none() | st.integers(smallest, 10**32)),
    )


def accepts(rules: Market, quantity: str, price: str) -> bool:
    """The venues' filters as they are written down, in decimal arithmetic of its own."""
    with localcontext() as context:
        context.prec = 200

        def decimal(units: int | None) -> Decimal:
            return Decimal("Infinity") if units is None else Decimal(units).scaleb(-18)

        size, at = Decimal(quantity), Decimal(price)
        return (
            at > 0
            and at % decimal(rules.tick) == 0
            and size % decimal(rules.step) == 0
            and decimal(rules.min_quantity) <= size <= decimal(rules.max_quantity)
            and decimal(rules.min_notional) <= size * at <= decimal(rules.max_notional)
        )


@given(markets(), st.sampled_from(Side), st.integers(0, 10**32), st.integers(0, 10**26))
def test_what_comes_out_is_accepted_and_never_above_the_funds(
    rules: Market, side: Side, quantity: int, price: int
) -> None:
    try:
        size, at = quantise(rules, side, quantity, price)
    except OrderRefused:
        assert not _fits_as_it_is(rules, quantity, price)
        return
    assert accepts(rules, show(size), show(at))
    assert quantity - rules.step < size <= quantity
    if side is Side.BUY:
        assert price - rules.tick < at <= price
        assert size * at <= quantity * price
    else:
        assert price <= at < price + rules.tick


def _fits_as_it_is(rules: Market, quantity: int, price: int) -> bool:
    return quantity > 0 and price > 0 and accepts(rules, show(quantity), show(price))


@given(markets(), st.sampled_from(Side), st.integers(1, 10**32), st.integers(1, 10**26))
def test_twice_is_once(rules: Market, side: Side, quantity: int, price: int) -> None:
    try:
        once = quantise(rules, side, quantity, price)
    except OrderRefused:
        return
    assert quantise(rules, side, *once) == once


@given(st.integers(2**53, 2**80))
def test_large_amounts_stay_exact(units: int) -> None:
    finest = market(tick=1, step=1, min_quantity=0, min_notional=0)
    assert quantise(finest, Side.SELL, units * ONE + 1, units) == (units * ONE + 1, units)


@pytest.mark.parametrize(
    ("rules", "quantity", "price", "reason"),
    [
        ({}, "0.00009999", "2500", "below_minimum"),
        ({"min_quantity": parse("0.01")}, "0.0099", "2500", "below_minimum"),
        ({}, "0.002", "2499.99", "below_minimum"),  # 4.99998 EUR
        ({}, "1", "0.009", "below_minimum"),  # a buyer's price below one tick is no price
        ({"max_quantity": parse("9000")}, "9000.0001", "1", "above_maximum"),
        ({"max_notional": parse("9000000")}, "9000.0001", "1000", "above_maximum"),
    ],
)
def test_outside_the_limits_is_a_refusal(
    rules: dict[str, int], quantity: str, price: str, reason: str
) -> None:
    with pytest.raises(OrderRefused) as refusal:
        quantise(market(**rules), Side.BUY, parse(quantity), parse(price))
    assert refusal.value.reason == reason


def test_the_sides_round_apart() -> None:
    plain = market()
    assert quantise(plain, Side.BUY, parse("1.00009"), parse("2500.019")) == (
        parse("1"),
        parse("2500.01"),
    )
    assert quantise(plain, Side.SELL, parse("1.00009"), parse("2500.011")) == (
        parse("1"),
        parse("2500.02"),
    )
