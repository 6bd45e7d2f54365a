"""The invoice rule: an exhaustive table, and a second, naive implementation to disagree with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.assess import GRACE, assess
from payments.facts import Assessment, DepositFact, InvoiceFact, OptionFact
from tests.settings import numbers

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
END = START + timedelta(minutes=15)
OPEN = {"one": START, "two": START}
CLOSED = {"one": END + timedelta(hours=1), "two": END + timedelta(hours=1)}
ETH = OptionFact(decimals=18, quote_decimals=6, amount=10**16, rate=2500 * 10**18)
USDC = OptionFact(decimals=6, quote_decimals=6, amount=25 * 10**6, rate=10**18)
OPTIONS = {("one", "ETH"): ETH, ("one", "USDC"): USDC, ("two", "ETH"): ETH}


def invoice(*deposits: DepositFact, **changes: Any) -> InvoiceFact:
    fact = InvoiceFact(
        amount=2500,
        currency_decimals=2,
        tolerance=0,
        expires_at=END,
        options=OPTIONS,
        deposits=deposits,
    )
    return replace(fact, **changes)


def eth(
    number: int, amount: int, status: str = "confirmed", *, after: int = 60, **more: Any
) -> DepositFact:
    return DepositFact(
        id=UUID(int=number),
        pair=more.pop("pair", ("one", "ETH")),
        decimals=18,
        amount=amount,
        status=status,
        block_time=START + timedelta(seconds=after),
        **more,
    )


def shown(answer: Assessment) -> tuple[str, str, int, int]:
    return answer.status.value, answer.irregularity.value, answer.paid, answer.confirmed


FULL, HALF, LATE = 10**16, 5 * 10**15, 16 * 60
TABLE: list[tuple[str, InvoiceFact, dict[str, datetime], tuple[str, str, int, int]]] = [
    ("nothing", invoice(), OPEN, ("new", "none", 0, 0)),
    ("nothing, closed", invoice(), CLOSED, ("expired", "none", 0, 0)),
    ("seen", invoice(eth(1, FULL, "pending")), OPEN, ("processing", "none", 2500, 0)),
    ("exact", invoice(eth(1, FULL)), OPEN, ("settled", "none", 2500, 2500)),
    (
        "seen in time, confirmed after the end",
        invoice(eth(1, FULL, "pending")),
        CLOSED,
        ("processing", "none", 2500, 0),
    ),
    ("half", invoice(eth(1, HALF)), OPEN, ("new", "paid_partial", 1250, 1250)),
    ("half, closed", invoice(eth(1, HALF)), CLOSED, ("expired", "paid_partial", 1250, 1250)),
    (
        "half and the rest",
        invoice(eth(1, HALF), eth(2, HALF, "pending")),
        OPEN,
        ("processing", "none", 2500, 1250),
    ),
    ("twice", invoice(eth(1, FULL), eth(2, FULL)), OPEN, ("settled", "paid_over", 5000, 5000)),
    (
        "over by less than a step is rounding",
        invoice(eth(1, FULL + 10**11)),
        OPEN,
        ("settled", "none", 2500, 2500),
    ),
    (
        "two assets and two networks",
        invoice(
            eth(1, HALF, pair=("two", "ETH")),
            DepositFact(
                id=UUID(int=2),
                pair=("one", "USDC"),
                decimals=6,
                amount=12_500_000,
                status="confirmed",
                block_time=START,
            ),
        ),
        OPEN,
        ("settled", "none", 2500, 2500),
    ),
    ("late", invoice(eth(1, FULL, after=LATE)), CLOSED, ("expired", "paid_late", 0, 0)),
    (
        "late on a settled one",
        invoice(eth(1, FULL), eth(2, FULL, after=LATE)),
        CLOSED,
        ("settled", "paid_late", 2500, 2500),
    ),
    (
        "late, credited at a higher price: the locked rate",
        invoice(eth(1, FULL, after=LATE, resolution="credit", price_when_seen=3000 * 10**18)),
        CLOSED,
        ("settled", "paid_late", 2500, 2500),
    ),
    (
        "late, credited at a lower price: that price",
        invoice(eth(1, FULL, after=LATE, resolution="credit", price_when_seen=2000 * 10**18)),
        CLOSED,
        ("expired", "paid_late", 2000, 2000),
    ),
    (
        "late, ignored",
        invoice(eth(1, FULL, after=LATE, resolution="ignore")),
        CLOSED,
        ("expired", "paid_late", 0, 0),
    ),
    (
        "exactly at the end is in time",
        invoice(eth(1, FULL, after=900)),
        CLOSED,
        ("settled", "none", 2500, 2500),
    ),
    (
        "one network stands still: no expiry",
        invoice(),
        {"one": CLOSED["one"], "two": END},
        ("new", "none", 0, 0),
    ),
    (
        "at the end of the grace: no expiry yet",
        invoice(),
        {"one": END + GRACE, "two": CLOSED["two"]},
        ("new", "none", 0, 0),
    ),
    (
        "an asset that was not offered",
        invoice(eth(1, FULL, pair=("one", "DOGE"))),
        OPEN,
        ("new", "none", 0, 0),
    ),
    ("held", invoice(eth(1, FULL, held=True)), OPEN, ("new", "none", 0, 0)),
    ("dust", invoice(eth(1, 1, dust=True)), CLOSED, ("expired", "none", 0, 0)),
    ("orphaned, open", invoice(eth(1, FULL, "orphaned")), OPEN, ("new", "none", 0, 0)),
    ("orphaned, closed", invoice(eth(1, FULL, "orphaned")), CLOSED, ("invalid", "none", 0, 0)),
    (
        "orphaned and come back",
        invoice(eth(1, FULL, "orphaned"), eth(2, FULL)),
        CLOSED,
        ("settled", "none", 2500, 2500),
    ),
    (
        "settled once, taken back",
        invoice(eth(1, FULL, "orphaned"), first_settled_at=START),
        OPEN,
        ("new", "reversed", 0, 0),
    ),
    (
        "settled once, taken back, seen again",
        invoice(eth(1, FULL, "orphaned"), eth(2, FULL, "pending"), first_settled_at=START),
        OPEN,
        ("processing", "reversed", 2500, 0),
    ),
    (
        "reversed is cleared when it settles again",
        invoice(eth(1, FULL, "orphaned"), eth(2, FULL), first_settled_at=START),
        OPEN,
        ("settled", "none", 2500, 2500),
    ),
    ("cancelled", invoice(cancelled_at=START), OPEN, ("expired", "marked", 0, 0)),
    (
        "cancelled, then paid: that is late",
        invoice(eth(1, FULL, after=60), cancelled_at=START),
        OPEN,
        ("expired", "marked", 0, 0),
    ),
    ("marked settled", invoice(mark="settled"), OPEN, ("settled", "marked", 0, 0)),
    (
        "marked invalid although paid",
        invoice(eth(1, FULL), mark="invalid"),
        OPEN,
        ("invalid", "marked", 2500, 2500),
    ),
    (
        "mark stands above cancel",
        invoice(mark="settled", cancelled_at=START),
        OPEN,
        ("settled", "marked", 0, 0),
    ),
    (
        "within tolerance",
        invoice(eth(1, FULL - 10**14), tolerance=25),
        OPEN,
        ("settled", "none", 2475, 2475),
    ),
    (
        "below tolerance",
        invoice(eth(1, FULL - 2 * 10**14), tolerance=25),
        OPEN,
        ("new", "paid_partial", 2450, 2450),
    ),
    (
        "over within tolerance is not over",
        invoice(eth(1, FULL + 10**14), tolerance=25),
        OPEN,
        ("settled", "none", 2525, 2525),
    ),
]


@pytest.mark.parametrize(
    ("name", "facts", "followed", "expected"), TABLE, ids=[t[0] for t in TABLE]
)
def test_table(
    name: str,
    facts: InvoiceFact,
    followed: dict[str, datetime],
    expected: tuple[str, str, int, int],
) -> None:
    assert shown(assess(facts, followed)) == expected


INBOX: list[tuple[str, InvoiceFact, dict[str, datetime], str | None, str | None]] = [
    ("seen", invoice(eth(1, FULL, "pending")), OPEN, None, "pending"),
    ("settled", invoice(eth(1, FULL)), OPEN, None, "available"),
    ("part of an open one waits", invoice(eth(1, HALF)), OPEN, None, "pending"),
    ("part of a closed one", invoice(eth(1, HALF)), CLOSED, "partial", "inbox"),
    (
        "part of a closed one, credited",
        invoice(eth(1, HALF, resolution="credit")),
        CLOSED,
        "partial",
        "available",
    ),
    ("late", invoice(eth(1, FULL, after=LATE)), CLOSED, "late", "inbox"),
    ("late, seen", invoice(eth(1, FULL, "pending", after=LATE)), CLOSED, "late", "pending"),
    ("overpaid", invoice(eth(1, 2 * FULL)), OPEN, "overpaid", "available"),
    ("held", invoice(eth(1, FULL, held=True)), OPEN, "held", "inbox"),
    ("dust", invoice(eth(1, 1, dust=True)), OPEN, "dust", "inbox"),
    ("asset", invoice(eth(1, 1, pair=("one", "X"))), OPEN, "unexpected_asset", "inbox"),
    ("network", invoice(eth(1, 1, pair=("x", "ETH"))), OPEN, "unexpected_network", "inbox"),
    ("gone", invoice(eth(1, FULL, "orphaned")), OPEN, None, None),
    (
        "what is left of a settled one stays spendable",
        invoice(eth(1, HALF), eth(2, HALF, "orphaned"), first_settled_at=START),
        OPEN,
        None,
        "available",
    ),
    ("marked invalid", invoice(eth(1, FULL), mark="invalid"), OPEN, "partial", "inbox"),
    ("marked settled", invoice(eth(1, HALF), mark="settled"), OPEN, None, "available"),
]


@pytest.mark.parametrize(
    ("name", "facts", "followed", "reason", "account"), INBOX, ids=[t[0] for t in INBOX]
)
def test_where_the_money_belongs(
    name: str,
    facts: InvoiceFact,
    followed: dict[str, datetime],
    reason: str | None,
    account: str | None,
) -> None:
    verdict = assess(facts, followed).verdicts[UUID(int=1)]
    assert (verdict.inbox and verdict.inbox.value) == reason
    assert (verdict.account and verdict.account.value) == account


def test_the_printed_amount_pays_whatever_the_rate_rounds_to() -> None:
    """A token of 2 decimals at a rate that rounds badly: who pays what is printed has paid."""
    odd = OptionFact(decimals=2, quote_decimals=2, amount=334, rate=299 * 10**16)
    deposit = DepositFact(
        id=UUID(int=1),
        pair=("one", "ODD"),
        decimals=2,
        amount=334,
        status="confirmed",
        block_time=START,
    )
    facts = invoice(deposit, amount=1000, options={("one", "ODD"): odd})
    assert shown(assess(facts, OPEN)) == ("settled", "none", 1000, 1000)


# The second implementation: decimal arithmetic, one question after the other, no shared code.


@dataclass
class Naive:
    facts: InvoiceFact
    followed: dict[str, datetime]

    def end(self) -> datetime:
        cancelled = self.facts.cancelled_at
        return self.facts.expires_at if cancelled is None else min(self.facts.expires_at, cancelled)

    def value(self, deposit: DepositFact, rate: int) -> Decimal:
        coins = Decimal(deposit.amount).scaleb(-deposit.decimals)
        return (coins * Decimal(rate).scaleb(-18)).scaleb(self.facts.currency_decimals)

    def sum(self, statuses: set[str]) -> tuple[int, Decimal]:
        total = Decimal(0)
        paid_as_printed = False
        per_pair: dict[tuple[str, str], int] = {}
        for deposit in self.facts.deposits:
            if deposit.status not in statuses or deposit.pair not in self.facts.options:
                continue
            if deposit.held or deposit.dust:
                continue
            rate = self.facts.options[deposit.pair].rate
            if deposit.block_time > self.end():
                if deposit.resolution != "credit":
                    continue
                if deposit.price_when_seen:
                    rate = min(rate, deposit.price_when_seen)
            total += self.value(deposit, rate)
            if deposit.block_time > self.end():
                continue
            per_pair[deposit.pair] = per_pair.get(deposit.pair, 0) + deposit.amount
            if per_pair[deposit.pair] >= self.facts.options[deposit.pair].amount:
                paid_as_printed = True
        down = int(total.to_integral_value(ROUND_FLOOR))
        if paid_as_printed and down < self.facts.amount:
            down = self.facts.amount
        return down, total

    def status(self) -> str:
        needed = self.facts.amount - self.facts.tolerance
        if self.facts.mark:
            return self.facts.mark
        if self.facts.cancelled_at:
            return "expired"
        if self.sum({"confirmed"})[0] >= needed:
            return "settled"
        if self.sum({"confirmed", "pending"})[0] >= needed:
            return "processing"
        for network in {pair[0] for pair in self.facts.options}:
            if not self.followed[network] > self.facts.expires_at + timedelta(seconds=30):
                return "new"
        timely = [
            d
            for d in self.facts.deposits
            if d.pair in self.facts.options and d.block_time <= self.end()
        ]
        if timely and not [d for d in timely if d.status != "orphaned"]:
            return "invalid"
        return "expired"

    def excess(self) -> Decimal:
        """In the currency's minor units; zero if rounding or tolerance explain it."""
        over = self.sum({"confirmed", "pending"})[1] - self.facts.amount
        steps = Decimal(0)
        for pair in {d.pair for d in self.facts.deposits if self.counts(d)}:
            option = self.facts.options[pair]
            coins = Decimal(1).scaleb(-option.quote_decimals)
            price = Decimal(option.rate).scaleb(-18 + self.facts.currency_decimals)
            steps += coins * price
        return over if over > steps and over > self.facts.tolerance and over >= 1 else Decimal(0)

    def counts(self, deposit: DepositFact) -> bool:
        if deposit.pair not in self.facts.options or deposit.status == "orphaned":
            return False
        if deposit.held or deposit.dust:
            return False
        return deposit.block_time <= self.end() or deposit.resolution == "credit"

    def exception(self) -> str:
        """The first that is true, in the order of MONEY 3."""
        facts = self.facts
        needed = facts.amount - facts.tolerance
        late = [
            d
            for d in facts.deposits
            if d.pair in facts.options and d.block_time > self.end()
            if d.status != "orphaned" and not d.dust
        ]
        paid, confirmed = self.sum({"confirmed", "pending"})[0], self.sum({"confirmed"})[0]
        truths = {
            "marked": bool(facts.mark or facts.cancelled_at),
            "reversed": bool(facts.first_settled_at) and confirmed < needed,
            "paid_over": bool(self.excess()),
            "paid_late": bool(late),
            "paid_partial": 0 < paid < needed,
            "none": True,
        }
        return next(name for name, is_so in truths.items() if is_so)

    def inbox(self, deposit: DepositFact) -> str | None:
        if deposit.status == "orphaned":
            return None
        counted = [d.id for d in self.facts.deposits if self.counts(d)]
        offered = {pair[0] for pair in self.facts.options}
        reasons = {
            "held": deposit.held,
            "dust": deposit.dust,
            "unexpected_network": deposit.pair[0] not in offered,
            "unexpected_asset": deposit.pair not in self.facts.options,
            "late": deposit.block_time > self.end(),
            "partial": self.status() in ("expired", "invalid"),
            "overpaid": bool(self.excess()) and counted[-1:] == [deposit.id],
        }
        return next((name for name, is_so in reasons.items() if is_so), None)

    def account(self, deposit: DepositFact) -> str | None:
        """Whose the money is: nobody's, waiting, in question, or the merchant's."""
        if deposit.status == "orphaned":
            return None
        if deposit.status == "pending":
            return "pending"
        decided = deposit.resolution == "refund" or (
            deposit.resolution == "credit" and not deposit.held
        )
        if decided:
            return "available"
        if self.inbox(deposit) not in (None, "overpaid"):
            return "inbox"
        was_paid = self.status() == "settled" or self.facts.first_settled_at is not None
        return "available" if was_paid else "pending"


def deposits() -> st.SearchStrategy[DepositFact]:
    return st.builds(
        DepositFact,
        id=st.uuids(),
        pair=st.sampled_from([*OPTIONS, ("one", "DOGE"), ("three", "ETH")]),
        decimals=st.just(18),
        amount=st.one_of(
            st.integers(1, 3 * 10**16),
            st.sampled_from([FULL, HALF, FULL + 1, FULL - 1, FULL + 10**12, 1]),
        ),
        status=st.sampled_from(["pending", "confirmed", "orphaned"]),
        block_time=st.sampled_from(
            [START, END, END + timedelta(microseconds=1), END + timedelta(days=1)]
        ),
        held=st.booleans(),
        dust=st.booleans(),
        resolution=st.sampled_from([None, "credit", "ignore", "refund"]),
        price_when_seen=st.sampled_from([None, 2000 * 10**18, 3000 * 10**18]),
    ).map(lambda d: replace(d, decimals=6, amount=d.amount // 10**9 + 1) if "USDC" in d.pair else d)


invoices = st.builds(
    invoice,
    amount=st.sampled_from([2500, 2499, 1]),
    tolerance=st.sampled_from([0, 25, 125]),
    cancelled_at=st.sampled_from([None, None, None, START]),
    mark=st.sampled_from([None, None, None, "settled", "invalid"]),
    first_settled_at=st.sampled_from([None, START]),
    deposits=st.lists(deposits(), max_size=5, unique_by=lambda d: d.id).map(tuple),
)


@settings(max_examples=numbers(300, 20_000), deadline=None)
@given(facts=invoices, one=st.sampled_from([OPEN, CLOSED]), two=st.sampled_from([OPEN, CLOSED]))
def test_against_the_naive_one(
    facts: InvoiceFact, one: dict[str, datetime], two: dict[str, datetime]
) -> None:
    followed = {"one": one["one"], "two": two["two"]}
    with localcontext() as context:
        context.prec = 80
        naive = Naive(facts, followed)
        answer = assess(facts, followed)
        assert answer.status.value == naive.status()
        assert answer.paid == naive.sum({"confirmed", "pending"})[0]
        assert answer.confirmed == naive.sum({"confirmed"})[0]
        assert answer.excess == int(naive.excess().to_integral_value(ROUND_FLOOR))
        assert answer.irregularity.value == naive.exception()
        for deposit in facts.deposits:
            verdict = answer.verdicts[deposit.id]
            assert (verdict.inbox and verdict.inbox.value) == naive.inbox(deposit)
            assert (verdict.account and verdict.account.value) == naive.account(deposit)


@settings(max_examples=numbers(100, 5_000), deadline=None)
@given(facts=invoices)
def test_order_of_deposits_never_changes_the_status(facts: InvoiceFact) -> None:
    turned = replace(facts, deposits=tuple(reversed(facts.deposits)))
    assert shown(assess(facts, CLOSED)) == shown(assess(turned, CLOSED))
