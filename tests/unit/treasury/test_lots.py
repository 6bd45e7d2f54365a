"""Lots: worked examples, nothing made or lost, and FIFO against a twin that counts unit by unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import ids
from ledger.journal import Kind
from tests.settings import numbers
from treasury.gains import Book, Fact
from treasury.lots import Fifo, Lot, Method, pool

START = datetime(2026, 1, 1, tzinfo=UTC)
BOTH = pytest.mark.parametrize("method", list(Method))


def lot(quantity: int, cost: int | None) -> Lot:
    return Lot(ids.new(), START, quantity, quantity, cost)


class History:
    """Facts one after the other, a day apart."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def add(
        self, kind: Kind, worth: int | None = None, symbol: str | None = None, **changes: int
    ) -> Fact:
        n = len(self.facts)
        at = START + timedelta(days=n)
        net = tuple(sorted(changes.items()))
        made = Fact(n + 1, ids.new(), at, kind, f"fact_{n}", net, worth, symbol)
        self.facts.append(made)
        return made

    def undo(self, fact: Fact, kind: Kind) -> None:
        net = tuple((asset, -change) for asset, change in fact.changes)
        n = len(self.facts)
        self.facts.append(replace(fact, seq=n + 1, entry=ids.new(), kind=kind, changes=net))

    def book(self, method: Method) -> Book:
        book = Book(method)
        for fact in self.facts:
            book.apply(fact)
        return book


def seen(history: History, quantity: int, worth: int | None) -> Fact:
    return history.add(Kind.DEPOSIT_SEEN, worth, ETH=quantity)


def test_a_sale_takes_the_oldest_first_or_all_alike() -> None:
    history = History()
    seen(history, 10, 1000)
    seen(history, 10, 3000)
    history.add(Kind.FILL, 3750, "ETH-EUR", ETH=-15, EUR=3700)
    (fifo,) = history.book(Method.FIFO).disposals
    assert (fifo.cost, fifo.proceeds, fifo.gain) == (2500, 3750, 1250)
    assert [(p.quantity, p.cost) for p in fifo.portions] == [(10, 1000), (5, 1500)]
    (average,) = history.book(Method.AVERAGE).disposals
    assert (average.cost, average.gain) == (3000, 750)
    for method in Method:
        assert [one.cost for one in history.book(method).pools["EUR"].open()] == [3750]


def test_buying_with_a_fee_in_a_third_coin_sells_only_what_was_paid() -> None:
    history = History()
    history.add(Kind.OPENING, 1000, EUR=1000)
    history.add(Kind.OPENING, 50, BNB=5)
    history.add(Kind.FILL, 600, "ETH-EUR", EUR=-500, ETH=2, BNB=-1)
    book = history.book(Method.FIFO)
    by_asset = {one.asset: one for one in book.disposals}
    assert (by_asset["EUR"].sold, by_asset["EUR"].gain) == (True, 100)
    assert (by_asset["BNB"].sold, by_asset["BNB"].cost, by_asset["BNB"].gain) == (False, 10, None)
    assert [one.cost for one in book.pools["ETH"].open()] == [600]


@BOTH
def test_what_is_paid_out_realises_nothing(method: Method) -> None:
    history = History()
    seen(history, 10, 1000)
    history.add(Kind.PAYOUT_PAID, ETH=-4)
    (left,) = history.book(method).disposals
    assert (left.sold, left.cost, left.gain) == (False, 400, None)


@BOTH
def test_what_has_no_known_cost_makes_no_gain_up(method: Method) -> None:
    history = History()
    seen(history, 10, None)
    seen(history, 10, 1000)
    history.add(Kind.FILL, 5000, "ETH-EUR", ETH=-15, EUR=5000)
    (sale,) = history.book(method).disposals
    assert sale.gain is None
    assert sale.unvalued == (10 if method is Method.FIFO else 7)
    assert sale.cost == (500 if method is Method.FIFO else 800)


@BOTH
def test_more_left_than_came_is_filled_by_what_comes_next(method: Method) -> None:
    history = History()
    history.add(Kind.FILL, 300, "ETH-EUR", ETH=-3, EUR=300)
    seen(history, 5, 1000)
    book = history.book(method)
    assert book.held("ETH") == 2
    assert [(one.left, one.cost) for one in book.pools["ETH"].open()] == [(2, 400)]
    (sale,) = book.disposals
    assert (sale.gain, sale.unvalued) == (None, 3)


@BOTH
def test_what_the_chain_takes_back_never_was(method: Method) -> None:
    history = History()
    seen(history, 10, 1000)
    gone = seen(history, 7, 9000)
    paid = history.add(Kind.PAYOUT_PAID, ETH=-12)
    history.undo(paid, Kind.PAYOUT_REVERSED)
    history.undo(gone, Kind.DEPOSIT_REVERSED)
    book = history.book(method)
    assert book.disposals == []
    assert [(one.left, one.cost) for one in book.pools["ETH"].open()] == [(10, 1000)]


def test_a_receipt_taken_back_after_its_sale_leaves_the_others_short() -> None:
    history = History()
    gone = seen(history, 10, 1000)
    history.add(Kind.FILL, 1500, "ETH-EUR", ETH=-8, EUR=1500)
    seen(history, 10, 2000)
    history.undo(gone, Kind.DEPOSIT_REVERSED)
    book = history.book(Method.FIFO)
    assert book.held("ETH") == 2
    assert book.disposals[0].gain == 700  # the trade at the venue stands


amounts = st.integers(1, 10**22)
costs = st.none() | st.integers(0, 10**24)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "take", "put_back", "take_back"]), amounts, costs),
    max_size=30,
)


@BOTH
@settings(max_examples=numbers(100, 5000), deadline=None)
@given(done=steps)
def test_units_are_conserved(method: Method, done: list[tuple[str, int, int | None]]) -> None:
    """Held less short is what came less what left, whatever is undone in whatever order."""
    heap = pool(method)
    balance = 0
    added: list[Lot] = []
    taken = []
    for what, quantity, cost in done:
        if what == "add":
            one = lot(quantity, cost)
            added.append(replace(one))
            heap.add(one)
            balance += quantity
        elif what == "take":
            taken.append(heap.take(quantity))
            balance -= quantity
            assert sum(portion.quantity for portion in taken[-1]) == quantity
        elif what == "put_back" and taken:
            portions = taken.pop()
            heap.put_back(portions)
            balance += sum(portion.quantity for portion in portions)
        elif what == "take_back" and added:
            one = added.pop()
            heap.take_back(one)
            balance -= one.quantity
        assert heap.held - heap.short == balance
        assert heap.short == 0 or heap.held == 0
        open_lots = list(heap.open())
        assert sum(one.left for one in open_lots) == heap.held
        assert all(one.cost is None or one.cost >= 0 for one in open_lots)


@BOTH
@settings(max_examples=numbers(100, 5000), deadline=None)
@given(
    given_lots=st.lists(st.tuples(amounts, st.integers(0, 10**24)), min_size=1, max_size=12),
    parts=st.lists(st.integers(1, 10**22), max_size=12),
)
def test_costs_add_up_to_the_unit(
    method: Method, given_lots: list[tuple[int, int]], parts: list[int]
) -> None:
    """Every unit of cost leaves with a portion or stays with a lot; so gains are proceeds less
    costs, over all sales together."""
    history = History()
    for quantity, cost in given_lots:
        seen(history, quantity, cost)
    there = sum(quantity for quantity, _ in given_lots)
    proceeds = 0
    for n, wanted in enumerate(parts):
        part = min(wanted, there)
        if part:
            history.add(Kind.FILL, 1000 + n, "ETH-EUR", ETH=-part, EUR=5)
            proceeds += 1000 + n
        there -= part
    book = history.book(method)
    left = sum(one.cost or 0 for one in book.pools["ETH"].open())
    spent = sum(one.cost for one in book.disposals)
    assert spent + left == sum(cost for _, cost in given_lots)
    assert sum(one.gain or 0 for one in book.disposals) == proceeds - spent


@settings(max_examples=numbers(100, 5000), deadline=None)
@given(done=st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 9)), max_size=25))
def test_fifo_leaves_as_a_queue_of_single_units_does(done: list[tuple[bool, int, int]]) -> None:
    """The twin has a unit for each unit; prices are whole, so that nothing is rounded."""
    heap, queue, owing = Fifo(), list[int](), 0
    for comes, quantity, price in done:
        if comes:
            heap.add(lot(quantity, quantity * price))
            queue += [price] * quantity
            covered = min(owing, len(queue))
            del queue[:covered]
            owing -= covered
        else:
            portions = heap.take(quantity)
            expected, queue = queue[:quantity], queue[quantity:]
            owing += quantity - len(expected)
            assert sum(part.cost or 0 for part in portions) == sum(expected)
            assert sum(part.quantity for part in portions if part.short) == quantity - len(expected)
        assert (heap.held, heap.short) == (len(queue), owing)
        assert sum(one.cost or 0 for one in heap.open()) == sum(queue)
