"""The second source: when a venue counts as differing, and what that does to a price."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from prices.second import Mid, disagree, is_news, judge, named, parse, told_now
from prices.settle import Agreement, chosen_price, settle
from tests.unit.prices.feeds import NOW
from tests.unit.prices.test_settle import GOOD, JUMPED, other

AT = datetime.fromtimestamp(NOW, UTC)
PRICE = 2500 * 10**18
NEAR = Mid("binance", 2525 * 10**18, AT)
FAR = Mid("binance", 2525 * 10**18 + 1, AT)
SILENT = Mid("binance", None, AT, "stale")
LIMIT = Agreement().limit("ETH")


def follow(*seen: tuple[float, Mid], price: int | None = PRICE) -> list[bool]:
    """Whether the venue counts as differing after each look, at so many seconds."""
    before: list[Mid] = []
    verdicts = []
    for seconds, mid in seen:
        before = judge(price, [mid], before, LIMIT, AT + timedelta(seconds=seconds))
        before = [parse(json.loads(json.dumps(one.json()))) for one in before]
        verdicts.append(before[0].differs)
    return verdicts


@pytest.mark.parametrize(
    ("seen", "differs"),
    [
        ([(0, NEAR), (9, NEAR)], [False, False]),
        # it has to stand for three seconds, without a moment of agreement between
        ([(0, FAR), (2.9, FAR), (3, FAR)], [False, False, True]),
        ([(0, FAR), (2, NEAR), (4, FAR), (6, FAR), (7, FAR)], [False] * 4 + [True]),
        # and so has the agreement that ends it
        ([(0, FAR), (3, FAR), (4, NEAR), (6.9, NEAR), (7, NEAR)], [False, True, True, True, False]),
        ([(0, FAR), (3, FAR), (4, NEAR), (5, FAR), (7.5, NEAR)], [False] + [True] * 4),
        # silence forgives only after a minute
        ([(0, FAR), (3, FAR), (4, SILENT), (63, SILENT), (64, SILENT)],
         [False, True, True, True, False]),
        ([(0, SILENT), (9, SILENT), (10, FAR), (12, FAR)], [False] * 4),
    ],
)  # fmt: skip
def test_a_difference_counts_once_it_stood(
    seen: list[tuple[float, Mid]], differs: list[bool]
) -> None:
    assert follow(*seen) == differs


def test_stablecoins_have_half_the_room() -> None:
    limit = Agreement().limit("USDC")
    one = 10**18
    for price, differs in ((one * 1005 // 1000, False), (one * 1005 // 1000 + 1, True)):
        mid = Mid("binance", price, AT)
        first = judge(one, [mid], [], limit, AT)
        (last,) = judge(one, [mid], first, limit, AT + timedelta(seconds=3))
        assert last.differs is differs


def test_one_venue_that_agrees_is_enough() -> None:
    wrong, right = replace(FAR, differs=True), replace(NEAR, venue="coinbase")
    assert not disagree([wrong, right])
    assert disagree([wrong])
    assert disagree([wrong, replace(SILENT, venue="coinbase")])
    assert disagree([replace(SILENT, differs=True)])  # silence alone mends nothing
    assert not disagree([SILENT])
    assert not disagree([])
    assert [named(m) for m in ([wrong, right], [SILENT], [])] == [
        "coinbase",
        "none fresh",
        "none configured",
    ]


def test_a_price_that_no_venue_agrees_with_is_refused() -> None:
    settled = settle("ETH", [GOOD], NOW, Agreement(), [replace(FAR, differs=True)])
    assert (settled.price, settled.refused) == (PRICE, "disagreement")
    assert [s["refused"] for s in settled.sources] == ["disagreement"] * 2
    agreed = settle("ETH", [GOOD], NOW, Agreement(), [NEAR])
    assert agreed.refused is None
    assert agreed.sources[1]["price"] == "2525.00000000"


def test_the_price_that_counts_is_judged() -> None:
    assert chosen_price([GOOD, other(2510 * 10**18)], NOW) == 2510 * 10**18
    assert chosen_price([JUMPED], NOW) is None


def test_what_is_worth_storing() -> None:
    soon, late = AT + timedelta(seconds=59), AT + timedelta(seconds=61)
    moved = replace(NEAR, price=PRICE, observed_at=soon)
    assert is_news([NEAR], [], AT)
    assert not is_news([NEAR], [NEAR], late)
    assert not is_news([moved], [NEAR], soon)
    assert is_news([moved], [NEAR], late)
    assert is_news([replace(NEAR, since=AT)], [NEAR], AT)
    assert is_news([SILENT], [NEAR], AT)


def test_a_price_is_shown_with_the_mids_of_this_moment() -> None:
    stored = [
        {"pair": "ETH/USD", "source": "chainlink", "price": "2500.0"},
        {"pair": "ETH/USD", "source": "binance", "price": "2400.0", "observed_at": "long ago"},
    ]
    mids = {("ETH", "USD"): [NEAR], ("ETH", "EUR"): [replace(SILENT, venue="coinbase")]}
    shown = told_now(stored, mids, ("ETH", "EUR"))
    assert [(s["pair"], s["source"], s["price"], s.get("refused")) for s in shown] == [
        ("ETH/USD", "chainlink", "2500.0", None),
        ("ETH/USD", "binance", "2525.00000000", None),
        ("ETH/EUR", "coinbase", None, "stale"),
    ]
