"""What a person's word about a Break posts, and when a difference is the one explained."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids
from ledger.accounts import LOSSES
from ledger.breaks import BreakKind, Difference
from ledger.journal import Kind, Posting
from ledger.tables import BreakRow
from reconciliation.booking import Resolution, booking, is_late, is_trade, open_to
from reconciliation.storing import is_same
from reconciliation.trades import lacking

VENUE = "reconciliation:venue:binance:"
CHAIN = "reconciliation:chain:eip155:1:"
PLACE = "exchange:binance"
WORDS = {Resolution.WRITE_OFF, Resolution.BOOK_TO_SUSPENSE, Resolution.OWNER_FUNDS}


def row(key: str, kind: BreakKind, expected: int | None, actual: int | None, **facts: Any) -> Any:
    return BreakRow(
        id=ids.new(), key=key, kind=kind.value, place=PLACE, asset="ETH", expected=expected,
        actual=actual, facts=facts, status="open",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "kind", "facts", "words"),
    [
        ("balance:ETH", BreakKind.AMOUNT, {}, WORDS),
        ("balance:ETH", BreakKind.TIMING, {}, set()),
        ("deposit:d-1", BreakKind.MISSING_IN_LEDGER, {"venue": "binance"}, WORDS),
        ("deposit:d-1", BreakKind.MISSING_AT_VENUE, {}, WORDS),
        ("deposit:d-1", BreakKind.TIMING, {}, set()),
        ("withdrawal:w-1", BreakKind.FEE, {}, WORDS),
        ("fill:ETH-EUR:1", BreakKind.MISSING_IN_LEDGER, {"booked": False}, {Resolution.BOOK_TRADE}),
        ("fill:ETH-EUR:1", BreakKind.MISSING_IN_LEDGER, {"booked": True}, set()),
        ("fill:ETH-EUR:1", BreakKind.TIMING, {"booked": False}, set()),
        ("fill:ETH-EUR:1", BreakKind.MISSING_AT_VENUE, {"booked": True}, {Resolution.BOOK_TRADE}),
        ("fill:ETH-EUR:1", BreakKind.FEE, {"booked": True}, {Resolution.BOOK_TRADE}),
        ("fill:ETH-EUR:1", BreakKind.AMOUNT, {"booked": True}, {Resolution.BOOK_TRADE}),
    ],
)
def test_what_is_open_to_a_break_of_a_venue(
    key: str, kind: BreakKind, facts: dict[str, Any], words: set[Resolution]
) -> None:
    one = row(VENUE + key, kind, 0, -5, **facts)
    assert set(open_to(one)) == {Resolution.EXPLAINED, *words}
    assert is_trade(one) == (Resolution.BOOK_TRADE in words)
    one.status = "resolved"
    assert open_to(one) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (CHAIN + "place:hot:ETH", WORDS),
        ("reconciliation:blocks:eip155:1:77", set()),
        ("reconciliation:ledger:hash:1", set()),
        ("reconciliation:invoices:pending:1", set()),
        ("order:ord_1", set()),
        ("unknown_inflow:1", {Resolution.WRITE_OFF, Resolution.OWNER_FUNDS}),
    ],
)
def test_what_is_open_to_other_breaks(key: str, words: set[Resolution]) -> None:
    one = row(key, BreakKind.MISSING_IN_LEDGER, 0, 7, booked=False)
    assert set(open_to(one)) == {Resolution.EXPLAINED, *words}


def test_a_withdrawal_nobody_ordered_costs_its_fee() -> None:
    kind = BreakKind.MISSING_IN_LEDGER
    found = booking(row(f"{VENUE}withdrawal:w-1", kind, 0, -101, venue="binance", fee="1"))
    assert found is not None
    assert found.kind is Kind.VENUE_TRANSFER
    assert found.key == "venue_transfer:binance:withdrawal:w-1"
    assert found.postings("ETH", Resolution.WRITE_OFF) == (
        Posting(PLACE, "ETH", -100),
        Posting("expense:losses", "ETH", 100),
        Posting("expense:exchange_fees", "ETH", 1),
        Posting(PLACE, "ETH", -1),
    )


@pytest.mark.parametrize(("left", "against"), [(7, "expense:exchange_fees"), (-7, LOSSES)])
def test_what_a_move_has_left_in_between_is_what_it_cost(left: int, against: str) -> None:
    one = row("move:mov_1", BreakKind.AMOUNT, 0, left)
    assert open_to(one) == [Resolution.EXPLAINED, Resolution.WRITE_OFF]
    found = booking(one)
    assert found is not None
    lines = {line.account: line.amount for line in found.postings("ETH", Resolution.WRITE_OFF)}
    assert lines == {PLACE: -left, against: left}
    assert open_to(row("move:mov_1", BreakKind.TIMING, 0, left)) == [Resolution.EXPLAINED]


MOVE = "mov_01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize(
    ("key", "kind", "place", "left", "is_open"),
    [
        (f"move:{MOVE}", BreakKind.TIMING, f"transit:{MOVE}", 7, True),
        (f"bank_claim:{MOVE}", BreakKind.TIMING, f"transit:{MOVE}", 7, True),
        (f"bank_claim:{MOVE}", BreakKind.TIMING, f"transit:{MOVE}", -7, True),
        # Ordered, and neither side shows it: nothing is in transit.
        (f"move:{MOVE}", BreakKind.TIMING, f"transit:{MOVE}", 0, False),
        (f"bank_claim:{MOVE}", BreakKind.TIMING, "bank:main", 7, False),
        # Nobody knows whether it left.
        (f"move:{MOVE}", BreakKind.MISSING_AT_VENUE, PLACE, 7, False),
        (f"unasked:{MOVE}", BreakKind.TIMING, PLACE, 7, False),
        ("bank_claim:pay_1", BreakKind.TIMING, "transit:pay_1", 7, False),
    ],
)
def test_what_does_not_arrive_is_written_off(
    key: str, kind: BreakKind, place: str, left: int, is_open: bool
) -> None:
    """Also once it was explained, in vain; not twice."""
    one = row(key, kind, 0, left)
    one.place = place
    assert (Resolution.WRITE_OFF in open_to(one)) == is_late(one) == is_open
    one.status, one.resolution = "resolved", "explained"
    assert open_to(one) == ([Resolution.WRITE_OFF] if is_open else [])
    one.resolution = "write_off"
    assert open_to(one) == []


@given(st.integers(), st.integers(), st.integers())
def test_an_explained_difference_is_known_by_its_size(books: int, by: int, trade: int) -> None:
    """Whatever business is done meanwhile moves both sides alike."""
    was = row(f"{VENUE}balance:ETH", BreakKind.AMOUNT, books, books + by)

    def now(more: int, kind: BreakKind = BreakKind.AMOUNT) -> Difference:
        return Difference(
            key=was.key, kind=kind, place=PLACE, expected=books + trade,
            actual=books + trade + by + more, facts={"moving_units": "3"},
        )  # fmt: skip

    assert is_same(was, now(0))
    assert is_same(was, now(3))  # a withdrawal under way that is in the balance still
    assert not is_same(was, now(1))
    assert not is_same(was, now(-3))
    assert is_same(was, now(0, BreakKind.TIMING))
    was.kind = BreakKind.TIMING.value
    assert not is_same(was, now(0))


def test_a_difference_without_amounts_is_known_by_both() -> None:
    was = row("reconciliation:blocks:eip155:1:7", BreakKind.MISSING_IN_LEDGER, None, None)
    now = Difference(key=was.key, kind=BreakKind.MISSING_IN_LEDGER, place="network:eip155:1")
    assert is_same(was, now)


lines = st.lists(st.builds(Posting, st.sampled_from("abc"), st.sampled_from("xy"), st.integers()))


@given(lines, lines)
def test_what_is_lacking_makes_the_books_say_what_is_wanted(
    wanted: list[Posting], standing: list[Posting]
) -> None:
    more = lacking(wanted, standing)
    assert all(line.amount for line in more)
    assert lacking(wanted, [*standing, *more]) == ()
