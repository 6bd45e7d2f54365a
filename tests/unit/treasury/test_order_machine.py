"""All facts of an order -> its state, as a table and against what must never happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.types import VenueOrderStatus
from treasury.order_machine import ENDED, Action, Facts, OrderStatus, Windows, decide

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
W = Windows()
FRESH = Facts(quantity=10, send_until=NOW + timedelta(seconds=30), resend_returns_original=False)
LEFT = replace(FRESH, sends=1, sent_at=NOW, unknown_since=NOW)
SHOWN = replace(LEFT, venue_status=VenueOrderStatus.FILLED, venue_filled=10)
THERE = replace(LEFT, resend_returns_original=True)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def absent(facts: Facts, first: float, last: float, times: int = 3) -> Facts:
    return replace(facts, absent=times, absent_since=at(first), absent_at=at(last))


TABLE = [
    # name, facts, seconds later, state, action
    ("stored", FRESH, 0, "prepared", "place"),
    ("never sent in time", FRESH, 30, "cancelled", "rest"),
    ("its caller is gone", replace(LEFT, unknown_since=None), 40, "sent", "ask"),
    ("refused", replace(LEFT, refused=True), 0, "refused", "ask"),
    ("refused, a day later", replace(LEFT, refused=True, ended_at=NOW), 86_400, "refused", "rest"),
    ("no answer", LEFT, 0, "unknown", "ask"),
    ("absent twice", absent(LEFT, 1, 90, 2), 90, "unknown", "ask"),
    ("absent too early", absent(LEFT, 1, 79), 79, "unknown", "ask"),
    ("absent over too short a time", absent(LEFT, 30, 85), 85, "unknown", "ask"),
    ("absent long enough", absent(LEFT, 15, 80, 24), 80, "refused", "ask"),
    ("absent long enough, by too few questions", absent(LEFT, 15, 80, 23), 80, "unknown", "ask"),
    ("open", replace(SHOWN, venue_status=VenueOrderStatus.OPEN), 1, "open", "ask"),
    ("filled, not in the books", SHOWN, 1, "open", "ask"),
    ("filled, half in the books", replace(SHOWN, booked=5), 1, "open", "ask"),
    ("filled", replace(SHOWN, booked=10), 1, "filled", "rest"),
    ("expired with a part", replace(SHOWN, venue_status=VenueOrderStatus.CANCELLED,
                                    venue_filled=4, booked=4), 1, "cancelled", "ask"),
    ("refused by its state", replace(SHOWN, venue_status=VenueOrderStatus.REFUSED,
                                     venue_filled=0), 1, "refused", "ask"),
    ("another order", replace(SHOWN, differs=True, booked=10), 1, "unknown", "ask"),
    ("open, decided", replace(SHOWN, venue_status=VenueOrderStatus.OPEN, written_off=True), 121,
     "cancelled", "ask"),
    ("filled, half in the books, decided", replace(SHOWN, booked=5, written_off=True), 121,
     "cancelled", "ask"),
    ("another order, decided", replace(SHOWN, differs=True, booked=10, written_off=True), 1,
     "cancelled", "ask"),
    ("late word after its end", replace(SHOWN, ended_at=NOW), 60, "cancelled", "ask"),
    ("late fill after its end", replace(SHOWN, booked=10, ended_at=NOW), 60, "filled", "rest"),
    ("written off", replace(LEFT, written_off=True), 1, "refused", "ask"),
    # Coinbase
    ("absent, the quote stands", absent(replace(THERE, send_until=at(100)), 1, 61), 61,
     "unknown", "place"),
    ("absent, it does not", absent(THERE, 1, 61), 61, "unknown", "ask"),
    ("absent for an hour", absent(THERE, 1, 3600, 99), 3600, "unknown", "ask"),
    ("sent twice, absent", absent(replace(THERE, sends=2, send_until=at(900)), 1, 90), 90,
     "unknown", "ask"),
    ("the second one refused", replace(THERE, sends=2, refused=True), 1, "unknown", "ask"),
    ("the second one refused, absent", absent(replace(THERE, sends=2, refused=True), 1, 61), 61,
     "refused", "ask"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "later", "status", "action"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_table(facts: Facts, later: float, status: str, action: str) -> None:
    found = decide(facts, at(later), W)
    assert (found.status, found.action) == (status, action)
    assert (found.due_at is None) == (action == "rest")


@pytest.mark.parametrize("stepped_after", [0.3, 1, 5, 30])
def test_a_clock_that_is_set_forward_proves_nothing(stepped_after: float) -> None:
    """Ten minutes at once: the order may come to light for as long as it could before."""
    passed, facts = 0.0, LEFT

    def wall() -> datetime:
        return at(passed + (600 if passed >= stepped_after else 0))

    while (found := decide(facts, wall(), W)).status is OrderStatus.UNKNOWN:
        assert found.due_at is not None
        passed += max(0.0, (found.due_at - wall()).total_seconds())
        since = facts.absent_since or wall()
        facts = replace(facts, absent=facts.absent + 1, absent_since=since, absent_at=wall())
    assert found.status is OrderStatus.REFUSED
    assert passed >= (W.receive + W.engine + W.polling).total_seconds() * 0.9


def test_a_persons_word_is_no_proof_later_either() -> None:
    """An order that a person has ended is looked at again: nothing may take its place then."""
    shown = replace(SHOWN, venue_status=VenueOrderStatus.OPEN, booked=5, written_off=True)
    assert decide(shown, at(121), W).dead
    assert decide(replace(shown, ended_at=at(121)), at(130), W).dead
    # until the venue's own word and its fills prove it
    proved = replace(shown, venue_status=VenueOrderStatus.CANCELLED, venue_filled=5)
    assert not decide(replace(proved, ended_at=at(121)), at(130), W).dead


def test_a_person_is_told_after_a_while() -> None:
    assert not decide(LEFT, at(119), W).tell
    assert decide(absent(LEFT, 100, 119), at(120), W).tell
    assert decide(replace(SHOWN, differs=True), at(0), W).tell
    assert decide(SHOWN, at(120), W).tell


def test_questions_become_rarer() -> None:
    asked = [decide(LEFT, at(s), W).due_at for s in (0, 2, 100)]
    waits = [due - at(s) for due, s in zip(asked, (0, 2, 100), strict=True) if due]
    assert waits == [W.soonest, timedelta(seconds=1), W.latest]


MOMENTS = st.integers(-200, 100_000).map(at)
FACTS = st.builds(
    Facts,
    quantity=st.integers(1, 20),
    send_until=MOMENTS,
    resend_returns_original=st.booleans(),
    sends=st.integers(0, 3),
    sent_at=st.none() | MOMENTS,
    refused=st.booleans(),
    unknown_since=st.none() | MOMENTS,
    absent=st.integers(0, 6),
    absent_since=st.none() | MOMENTS,
    absent_at=st.none() | MOMENTS,
    venue_status=st.none() | st.sampled_from(VenueOrderStatus),
    venue_filled=st.integers(0, 20),
    booked=st.integers(0, 20),
    differs=st.booleans(),
    written_off=st.booleans(),
    ended_at=st.none() | MOMENTS,
)


@given(FACTS, MOMENTS)
def test_what_must_never_happen(facts: Facts, now: datetime) -> None:
    found = decide(facts, now, W)
    if found.action is Action.PLACE:
        assert now < facts.send_until
        assert facts.venue_status is None, "the venue shows it"
        assert facts.sends == 0 or (facts.resend_returns_original and facts.sends == 1)
        if facts.sends:
            assert facts.absent >= W.absent
    if found.status in ENDED and facts.ended_at is None and facts.venue_status is not None:
        agree = facts.booked == facts.venue_filled
        assert agree or facts.written_off, "ended without the fills that prove it"
        assert agree or found.dead or found.status is OrderStatus.FILLED, "no proof of its end"
    if found.status is OrderStatus.FILLED:
        assert facts.booked >= facts.quantity
    if facts.sends and facts.venue_status is None and found.status in ENDED:
        assert facts.refused or facts.written_off or facts.absent >= W.absent
    if found.action is Action.REST:
        ended_long_ago = facts.ended_at is not None and now >= facts.ended_at + W.watch
        never_sent = facts.sends == 0
        assert ended_long_ago or never_sent or found.status is OrderStatus.FILLED
    if found.due_at is not None and found.action is not Action.REST:
        assert found.due_at <= now + W.watch_latest
