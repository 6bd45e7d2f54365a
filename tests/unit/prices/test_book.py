"""What one thing costs in another: every way to a rate, and every way that there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PriceUnavailable
from prices.book import PriceBook, StoredPrice
from prices.rates import SCALE

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def stored(
    base: str, quote: str, price: int | None, age: int = 4, refused: str | None = None
) -> StoredPrice:
    at = NOW - timedelta(seconds=age)
    source: dict[str, Any] = {
        "source": "chainlink",
        "network": "eip155:1",
        "feed": f"0x{base.lower()}",
        "round_id": "7",
        "price": "1.0",
        "updated_at": "2026-11-22T09:59:56Z",
        "observed_at": "2026-11-22T09:59:57Z",
        "block_hash": "0xb",
        "memory": {"secret": "of the oracle"},
    }
    if refused:
        source["refused"] = refused
    valid = at + timedelta(hours=1)
    return StoredPrice(base, quote, price, at if price else None, valid, refused, [source])


ETH = stored("ETH", "USD", 2500 * SCALE)
EUR = stored("EUR", "USD", SCALE * 11 // 10, age=600)
BOOK = PriceBook([ETH, EUR, stored("USDC", "USD", SCALE), stored("BTC", "ETH", 25 * SCALE)])


@pytest.mark.parametrize(
    ("base", "quote", "exact", "age"),
    [
        ("ETH", "USD", Fraction(2500), 4),
        ("USD", "ETH", Fraction(1, 2500), 4),
        ("ETH", "EUR", Fraction(25000, 11), 600),
        ("EUR", "ETH", Fraction(11, 25000), 600),
        ("USDC", "EUR", Fraction(10, 11), 600),
        ("USDC", "ETH", Fraction(1, 2500), 4),
        ("BTC", "ETH", Fraction(25), 4),
        ("ETH", "ETH", Fraction(1), 0),
        ("XYZ", "XYZ", Fraction(1), 0),
    ],
)
def test_rate(base: str, quote: str, exact: Fraction, age: int) -> None:
    rate = BOOK.rate(base, quote, NOW)
    assert rate.price == round(exact * SCALE)
    assert rate.evidence["age_seconds"] == age
    assert rate.updated_at == NOW - timedelta(seconds=age)


def test_a_crossed_rate_is_as_old_as_its_oldest_leg_and_ends_with_the_first() -> None:
    short = StoredPrice("ETH", "USD", SCALE, NOW, NOW + timedelta(minutes=1), None, ETH.sources)
    rate = PriceBook([short, EUR]).rate("ETH", "EUR", NOW)
    assert rate.updated_at == EUR.updated_at
    assert rate.valid_until == short.valid_until
    assert rate.evidence["feed"] == "0xeur"
    assert [leg["pair"] for leg in rate.evidence["via"]] == ["ETH/USD", "EUR/USD"]
    assert [leg["age_seconds"] for leg in rate.evidence["via"]] == [0, 600]


def test_evidence_says_that_there_is_no_second_source() -> None:
    evidence = BOOK.rate("ETH", "USD", NOW).evidence
    assert evidence["source"] == "chainlink"
    assert evidence["round_id"] == "7"
    assert evidence["second_source"] == "none configured"


@pytest.mark.parametrize(
    ("base", "quote", "rows", "reasons"),
    [
        ("ETH", "USD", [], []),
        ("ETH", "GBP", [ETH, EUR], []),
        ("BTC", "USD", [stored("BTC", "ETH", SCALE), ETH], []),
        ("ETH", "USD", [stored("ETH", "USD", SCALE, age=3600)], ["stale"]),
        ("USD", "ETH", [stored("ETH", "USD", SCALE, refused="jump")], ["jump"]),
        ("ETH", "USD", [stored("ETH", "USD", None, refused="unreachable")], ["unreachable"]),
        ("ETH", "EUR", [ETH, stored("EUR", "USD", SCALE, age=9999)], [None, "stale"]),
        # a refused direct row is not worked around by crossing
        ("ETH", "EUR", [ETH, EUR, stored("ETH", "EUR", SCALE, refused="jump")], ["jump"]),
    ],
)
def test_unavailable(
    base: str, quote: str, rows: list[StoredPrice], reasons: list[str | None]
) -> None:
    with pytest.raises(PriceUnavailable) as caught:
        PriceBook(rows).rate(base, quote, NOW)
    assert caught.value.status == 503
    sources = caught.value.extra["sources"]
    assert [s.get("refused") for s in sources] == reasons
    assert all("memory" not in s for s in sources)


def test_a_price_is_usable_up_to_its_last_second_and_not_at_it() -> None:
    row = stored("ETH", "USD", SCALE, age=0)
    assert row.valid_until is not None
    book = PriceBook([row])
    assert book.rate("ETH", "USD", row.valid_until - timedelta(microseconds=1)).price == SCALE
    with pytest.raises(PriceUnavailable):
        book.rate("ETH", "USD", row.valid_until)


def test_last_known_knows_no_age() -> None:
    old = stored("ETH", "USD", 2000 * SCALE, age=10**7, refused="stale")
    book = PriceBook([old, EUR, stored("DAI", "USD", None, refused="unreachable")])
    assert book.last_known("ETH", "USD") == 2000 * SCALE
    assert book.last_known("ETH", "EUR") == round(Fraction(20_000, 11) * SCALE)
    assert book.last_known("ETH", "ETH") == SCALE
    assert book.last_known("DAI", "USD") is None
    assert book.last_known("ETH", "GBP") is None


def test_a_rate_too_small_to_say_is_no_rate() -> None:
    book = PriceBook([stored("BIG", "USD", 10**40)])
    with pytest.raises(PriceUnavailable, match="less than"):
        book.rate("USD", "BIG", NOW)


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_a_crossed_rate_is_rounded_once(first: int, second: int) -> None:
    book = PriceBook([stored("AAA", "USD", first), stored("BBB", "USD", second)])
    exact = Fraction(first, second) * SCALE
    if round(exact):
        assert book.rate("AAA", "BBB", NOW).price == round(exact)


def test_a_rate_is_shared_while_nothing_in_it_changes() -> None:
    fresh = PriceBook([ETH, EUR])
    first = fresh.rate("ETH", "EUR", NOW)
    assert fresh.rate("ETH", "EUR", NOW + timedelta(milliseconds=999)) is first
    later = fresh.rate("ETH", "EUR", NOW + timedelta(seconds=1))
    assert later.price == first.price
    assert later.evidence["age_seconds"] == first.evidence["age_seconds"] + 1
    assert fresh.rate("ETH", "EUR", NOW).evidence == first.evidence
