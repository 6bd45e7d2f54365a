"""Settling in fiat: whatever the order of facts, the books are where a naive model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.money import FIAT, Asset
from ledger.accounts import Debt
from ledger.journal import Entry, Posting, check
from merchants.merchants import SettleIn
from payments import settle_entries, settle_in
from payments.assess import assess
from payments.facts import Assessment, DepositFact, InvoiceFact, OptionFact
from payments.settle_entries import converted, follow, write
from payments.settle_in import Settlement
from payments.tables import Invoice
from tests.settings import numbers

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
END = NOW + timedelta(minutes=15)
OPEN = {"one": NOW, "two": NOW}
FAR = {"one": END + timedelta(hours=1), "two": END + timedelta(hours=1)}
SHOP = UUID(int=7)
ETH = OptionFact(decimals=18, quote_decimals=6, amount=10**16, rate=2500 * 10**18)
USDC = OptionFact(decimals=6, quote_decimals=6, amount=25 * 10**6, rate=10**18)
OPTIONS = {("one", "ETH"): ETH, ("one", "USDC"): USDC, ("two", "ETH"): ETH}
FULL = 10**16


def fact(*deposits: DepositFact, **changes: Any) -> InvoiceFact:
    made = InvoiceFact(
        amount=2500,
        currency_decimals=2,
        tolerance=0,
        expires_at=END,
        options=OPTIONS,
        deposits=deposits,
    )
    return replace(made, **changes)


def paid(number: int, amount: int = FULL, **more: Any) -> DepositFact:
    made = DepositFact(
        id=UUID(int=number),
        pair=("one", "ETH"),
        decimals=18,
        amount=amount,
        status="confirmed",
        block_time=NOW,
    )
    return replace(made, **more)


class Books:
    """One invoice of one merchant: what its deposits and its settlement come to."""

    def __init__(self, mode: SettleIn, spread: str = "0.5", rate: int = 909090909090909090) -> None:
        terms = Settlement(mode=mode, currency="EUR", decimals=2, spread_percent=spread, rate=rate)
        self.invoice = Invoice(id=UUID(int=1), merchant_id=SHOP, settlement=settle_in.dump(terms))
        self.first_settled: datetime | None = None
        self.balances: Counter[tuple[str, str]] = Counter()
        self.keys: list[str] = []
        self.deposits: Counter[str] = Counter()  # by asset: what is available of them

    @property
    def terms(self) -> Settlement:
        assert self.invoice.settlement is not None
        return settle_in.parse(self.invoice.settlement)

    def judge(self, what: InvoiceFact, followed: Mapping[str, datetime] = OPEN) -> Assessment:
        what = replace(what, first_settled_at=self.first_settled)
        answer = assess(what, followed)
        if answer.status == "settled":
            self.first_settled = self.first_settled or NOW
            what = replace(what, first_settled_at=self.first_settled)
            answer = assess(what, followed)
        self.deposits = Counter()
        for deposit in what.deposits:
            if answer.verdicts[deposit.id].account is Debt.AVAILABLE:
                self.deposits[deposit.pair[1]] += deposit.amount
        self.post(follow(self.invoice, what, answer, NOW))
        return answer

    def post(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            check(entry)  # zero per asset, no posting of zero
            assert entry.key not in self.keys
            self.keys.append(entry.key)
            for line in entry.postings:
                self.balances[self.name(line), line.asset] += line.amount

    def name(self, line: Posting) -> str:
        return line.account.rpartition(":")[2] if "merchant:" in line.account else line.account

    def sell(self, asset: Asset, units: int, amount: int) -> None:
        """As payments.settle_fills does it with a row of the database."""
        terms = self.terms
        wanted = replace(
            terms,
            sold={**terms.sold, asset.symbol: terms.sold.get(asset.symbol, 0) + units},
            fiat={**terms.fiat, asset.symbol: terms.fiat.get(asset.symbol, 0) + amount},
        )
        lines = converted(SHOP, asset, units, FIAT["EUR"], amount)
        self.post(write(self.invoice, wanted, lines, {}, NOW))

    def owed(self, asset: str) -> int:
        """Of the fiat, or of crypto with what its deposits brought."""
        return self.deposits[asset] - self.balances["available", asset]

    def check_sums(self) -> None:
        """Claims and trading are what came, per asset, however it is counted."""
        for asset, fine in (("ETH", 1), ("USDC", 10**12)):
            traded = self.balances["trading", asset if fine == 1 else f"{asset}@18"]
            claims = self.owed(asset) - self.balances["reserved", asset]
            assert claims * fine - traded == self.deposits[asset] * fine, asset
        fiat = self.owed("EUR") - self.balances["income:spread", "EUR"]
        assert fiat * 10**16 == self.balances["trading", "EUR@18"]
        for asset, fine in (("USDC", 10**12), ("EUR", 10**16)):
            one, other = self.balances["units", asset], self.balances["units", f"{asset}@18"]
            assert one * fine + other == 0


def test_at_quote_less_the_spread_rounded_down() -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1, status="pending")))
    assert books.keys == []
    books.judge(fact(paid(1)))
    # 25.00 USD at 0.9090... is 22.727...: 22.72 of which half a percent less is 22.61.
    assert (books.owed("ETH"), books.owed("EUR")) == (0, 2261)
    assert books.balances["income:spread", "EUR"] == -11
    assert books.balances["trading", "ETH"] == -FULL
    books.check_sums()


def test_a_fork_mirrors_it_and_it_settles_again() -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE)
    for status, eur in (("confirmed", 2261), ("orphaned", 0), ("confirmed", 2261)):
        books.judge(fact(paid(1, status=status)))
        assert books.owed("EUR") == eur
        books.check_sums()
    assert len(books.keys) == 3


def test_what_was_overpaid_stays_crypto_to_the_unit() -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1), paid(2, FULL // 3)))
    assert (books.owed("ETH"), books.owed("EUR")) == (FULL // 3, 2261)
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1, FULL + 1)))
    assert books.owed("ETH") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"block_time": END + timedelta(seconds=1), "resolution": "credit"},
        {"resolution": "credit"},
        {"held": True},
    ],
)
def test_what_a_person_decides_about_stays_crypto(changes: dict[str, Any]) -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1), paid(2, FULL // 2, **changes)))
    assert books.owed("EUR") == 2261
    assert books.deposits["ETH"] - FULL == books.owed("ETH")
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1, **changes)))
    assert (books.owed("EUR"), books.keys) == (0, [])


def test_a_marked_invoice_stays_crypto() -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE)
    books.judge(fact(paid(1, FULL // 2), mark="settled"))
    assert (books.owed("ETH"), books.owed("EUR")) == (FULL // 2, 0)


def test_less_than_a_cent_is_not_exchanged() -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE, rate=10**14)  # 25.00 are worth a quarter of a cent
    books.judge(fact(paid(1)))
    assert books.keys == []


def test_at_fill_is_set_aside_sold_and_mirrored_at_its_own_average() -> None:
    books, eth = Books(SettleIn.FIAT_AT_FILL), Asset("ETH", 18, 6)
    books.judge(fact(paid(1, FULL // 2), paid(2, FULL // 2)))
    assert books.balances["reserved", "ETH"] == -FULL
    assert books.terms.waiting() == {"ETH": FULL}
    books.sell(eth, FULL, 2199)
    assert (books.owed("ETH"), books.owed("EUR"), books.terms.waiting()) == (0, 2199, {})
    books.judge(fact(paid(1, FULL // 2), paid(2, FULL // 2, status="orphaned")))
    assert (books.owed("EUR"), books.balances["reserved", "ETH"]) == (1099, 0)
    books.judge(fact(paid(1, FULL // 2), paid(2, FULL // 2)))
    assert (books.owed("EUR"), books.terms.waiting()) == (1099, {"ETH": FULL // 2})
    books.judge(fact(paid(1, FULL // 2, status="orphaned"), paid(2, FULL // 2, status="orphaned")))
    assert (books.owed("EUR"), books.owed("ETH"), books.terms.waiting()) == (0, 0, {})
    books.check_sums()


STATES = st.sampled_from(["pending", "confirmed", "confirmed", "orphaned"])
SHARES = st.sampled_from([(1, 1), (1, 2), (1, 3), (2, 3), (3, 2), (1, 10**9)])


@st.composite
def coming(draw: st.DrawFn, number: int) -> DepositFact:
    pair = draw(st.sampled_from(list(OPTIONS)))
    over, under = draw(SHARES)
    late = draw(st.integers(0, 9)) == 0
    return DepositFact(
        id=UUID(int=number),
        pair=pair,
        decimals=OPTIONS[pair].decimals,
        amount=max(1, OPTIONS[pair].amount * over // under + draw(st.integers(-2, 2))),
        status="pending",
        block_time=END + timedelta(seconds=1) if late else NOW,
        resolution=draw(st.sampled_from([None, "credit"])) if late else None,
        price_when_seen=draw(st.sampled_from([None, 10**18])) if late else None,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[InvoiceFact]:
    """One invoice, seen again and again: payments come, are confirmed, taken back, come again."""
    deposits = [draw(coming(number)) for number in range(1, draw(st.integers(1, 5)) + 1)]
    seen: list[InvoiceFact] = []
    for _ in range(draw(st.integers(1, 8))):
        deposits = [replace(one, status=draw(STATES)) for one in deposits]
        seen.append(fact(*deposits))
    return seen


def standing(books: Books, answer: Assessment) -> bool:
    """Settled once, and not closed since for want of money: then the rest lies in the inbox."""
    return books.first_settled is not None and answer.status not in ("expired", "invalid")


def naive(what: InvoiceFact, *, settled: bool) -> tuple[dict[str, int], Decimal]:
    """{asset: units} that are exchanged and their worth in dollars, one deposit after another."""
    units: dict[str, int] = {}
    pairs: dict[tuple[str, str], int] = {}
    with localcontext() as exact:
        exact.prec = 100
        total = Decimal(0)
        for one in what.deposits:
            counts = one.status == "confirmed" and one.block_time <= END
            if not settled or not counts or total >= 25:
                continue
            price = Decimal(2500) if one.pair[1] == "ETH" else Decimal(1)
            scale = Decimal(10) ** one.decimals
            if set(pairs) - {one.pair}:
                wanted = 0
                missing = (25 - total) * scale / price
                wanted = int(missing) + (missing != int(missing))
            else:
                wanted = OPTIONS[one.pair].amount - pairs.get(one.pair, 0)
            part = min(one.amount, wanted)
            pairs[one.pair] = pairs.get(one.pair, 0) + part
            units[one.pair[1]] = units.get(one.pair[1], 0) + part
            total += part * price / scale
    return units, total


@settings(max_examples=numbers(200, 5_000), deadline=None)
@given(histories(), st.sampled_from([OPEN, FAR]), st.sampled_from(["0", "0.5", "12.3456"]))
def test_at_quote_is_what_the_facts_say_whatever_came_before(
    seen: list[InvoiceFact], followed: Mapping[str, datetime], spread: str
) -> None:
    books = Books(SettleIn.FIAT_AT_QUOTE, spread, rate=10**18 // 3)
    for what in seen:
        answer = books.judge(what, followed)
        units, total = naive(what, settled=standing(books, answer))
        with localcontext() as exact:
            exact.prec = 100
            worth = total * (10**18 // 3) / 10**18 * 100
            gross = int(worth.to_integral_value(ROUND_FLOOR))
            net = int((worth * (100 - Decimal(spread)) / 100).to_integral_value(ROUND_FLOOR))
        if net == 0:
            units, gross = {}, 0
        assert books.owed("EUR") == net
        assert -books.balances["income:spread", "EUR"] == gross - net
        for asset in ("ETH", "USDC"):
            assert books.owed(asset) == books.deposits[asset] - units.get(asset, 0)
        books.check_sums()


@settings(max_examples=numbers(200, 5_000), deadline=None)
@given(
    histories(), st.sampled_from([OPEN, FAR]), st.lists(st.integers(0, 4), min_size=8, max_size=8)
)
def test_at_fill_is_what_the_facts_say_and_never_more_than_it_was_sold_for(
    seen: list[InvoiceFact], followed: Mapping[str, datetime], sales: list[int]
) -> None:
    books = Books(SettleIn.FIAT_AT_FILL)
    for what, sale in zip(seen, sales, strict=False):
        answer = books.judge(what, followed)
        units, _ = naive(what, settled=standing(books, answer))
        for asset in ("ETH", "USDC"):
            assert books.terms.units.get(asset, 0) == units.get(asset, 0)
        for symbol, waits in books.terms.waiting().items():
            if part := waits * sale // 4:
                books.sell(settle_entries.assets_of(OPTIONS)[symbol], part, 1000 * sale + 1)
        terms = books.terms
        for asset in ("ETH", "USDC"):
            assert -books.balances["reserved", asset] == terms.waiting().get(asset, 0)
            assert 0 <= terms.sold.get(asset, 0) <= units.get(asset, 0)
        assert books.owed("EUR") == sum(terms.fiat.values()) >= 0
        assert all(terms.fiat.get(a, 0) >= 0 for a in terms.sold)
        books.check_sums()
