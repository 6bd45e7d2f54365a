"""When what a move has in transit may be written off, and what of that is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids
from core.clock import wall
from core.errors import Conflict
from ledger.journal import Entry
from treasury import move_booking
from treasury.move_ending import refuse
from treasury.move_machine import MoveStatus, Way
from treasury.move_tables import Move
from wallets.sweep_facts import TransactionFact

DEEP = TransactionFact(status="confirmed", worked=True)


@pytest.mark.parametrize(
    ("way", "left", "sent", "code"),
    [
        (Way.SEND, 7, DEEP, None),
        (Way.SEND, 7, TransactionFact(status="mined", worked=True), "transaction_not_final"),
        (Way.SEND, 7, TransactionFact(status="sent"), "transaction_not_final"),
        (Way.SEND, 7, TransactionFact(status="confirmed"), "transaction_not_final"),
        (Way.SEND, 7, None, "transaction_not_final"),
        (Way.SEND, 0, DEEP, "not_in_transit"),
        (Way.WITHDRAW, 7, None, None),
        (Way.WITHDRAW, 0, None, "not_in_transit"),
        (Way.SHIFT, 0, DEEP, "not_in_transit"),
        (Way.REMIT, 7, None, None),
        (Way.REMIT, 0, None, "not_in_transit"),
        (Way.FUND, 7, None, None),
        (Way.FUND, -7, None, None),
        (Way.FUND, 0, None, "not_in_transit"),
    ],
)
def test_the_rule(way: Way, left: int, sent: TransactionFact | None, code: str | None) -> None:
    if code is None:
        refuse(way, MoveStatus.IN_TRANSIT, left, sent)
        return
    with pytest.raises(Conflict, match="explained") as caught:
        refuse(way, MoveStatus.IN_TRANSIT, left, sent)
    assert caught.value.code == code


@given(st.integers(1, 99), st.lists(st.integers(1, 60), max_size=5))
def test_what_shows_up_is_taken_back_and_no_more(left: int, came: list[int]) -> None:
    """Whatever comes in how many parts: the loss is what did not come, and transit is below zero
    by no more than what came beyond all that left."""
    row = Move(id=ids.new(), asset="ETH", lost=0, version=0)
    transit = left + _line(row, move_booking.lost(row, left, "k", {}, wall()))
    assert (transit, row.lost) == (0, left)
    for amount in came:
        transit -= amount
        entry = move_booking.found(row, transit, wall())
        transit += 0 if entry is None else _line(row, entry)
        row.version += 1
    assert row.lost == max(0, left - sum(came))
    assert transit == min(0, left - sum(came))


def _line(row: Move, entry: Entry) -> int:
    """What it changes of transit; the other line is the loss."""
    assert sum(line.amount for line in entry.postings) == 0
    [change] = [line.amount for line in entry.postings if line.account.startswith("transit:")]
    assert {line.account for line in entry.postings} >= {"expense:losses"}
    return change
