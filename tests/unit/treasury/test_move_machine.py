"""All facts of a move -> its state, as a table and against what must never happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.types import TransferStatus
from treasury.move_machine import OVER, Action, Facts, MoveStatus, Way, Windows, judge
from wallets.sweep_facts import TransactionFact

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
W = Windows()
DAY = 86_400
WEEK = 7 * DAY

SEND, SHIFT = Facts(way=Way.SEND), Facts(way=Way.SHIFT, checked=True)
OUT, REMIT = Facts(way=Way.WITHDRAW), Facts(way=Way.REMIT)
FUND = Facts(way=Way.FUND)
ORDERED = replace(FUND, checked=True, sent_at=NOW)
READY = replace(SEND, checked=True)
PREPARED = replace(READY, transaction=TransactionFact(status="prepared"))
MINED = replace(READY, transaction=TransactionFact(status="mined", worked=True))
DEEP = replace(READY, transaction=TransactionFact(status="confirmed", worked=True))
REVERTED = replace(READY, transaction=TransactionFact(status="failed", reason="reverted"))
CHECKED = replace(OUT, checked=True)
LEFT = replace(CHECKED, sends=1, sent_at=NOW)
UNKNOWN = replace(LEFT, unknown_since=NOW)
SAFE = replace(UNKNOWN, resend_is_safe=True)
SHOWN = replace(LEFT, shown=TransferStatus.PENDING, booked=True)
SENT = replace(SHOWN, shown=TransferStatus.DONE, has_hash=True)


def absent(facts: Facts, first: float, last: float, times: int = 3) -> Facts:
    moments = (NOW + timedelta(seconds=s) for s in (first, last))
    since, at = moments
    return replace(facts, absent=times, absent_since=since, absent_at=at)


TABLE = [
    # name, facts, seconds later, state, action, reason
    ("asked for", SEND, 0, "requested", "check", None),
    ("the venue takes none", replace(SEND, refused="unknown_network"), 0, "failed", "look",
     "unknown_network"),
    ("a new address", replace(READY, held=True), 0, "requested", "look", "address_held"),
    ("an address that is allowed", READY, 0, "approved", "leave", None),
    ("too little there", replace(READY, short=True), 0, "approved", "leave", "hot_wallet_short"),
    ("another's key", replace(READY, signs=False), 0, "approved", "look", "owner_signs"),
    ("cancelled", replace(READY, cancelled=True), 0, "failed", "look", "cancelled"),
    ("cancelled too late", replace(MINED, cancelled=True), 0, "in_transit", "ask", None),
    ("a transaction is asked for", PREPARED, 0, "sending", "look", None),
    ("mined", MINED, 1, "in_transit", "ask", None),
    ("deep", DEEP, 1, "in_transit", "ask", None),
    ("credited", replace(DEEP, booked=True, arrived=True), 1, "done", "look", None),
    ("credited, and a fork took its block", replace(PREPARED, booked=True, arrived=True), 1,
     "done", "look", None),
    ("credited with less", replace(DEEP, booked=True, arrived=True, differs=True), 1,
     "in_transit", "look", "amount_differs"),
    ("reverted", REVERTED, 1, "failed", "look", "reverted"),
    ("shift: mined", replace(MINED, way=Way.SHIFT), 1, "in_transit", "look", None),
    ("shift: deep", replace(DEEP, way=Way.SHIFT), 1, "done", "look", None),
    ("shift by its owner", replace(SHIFT, signs=False), 0, "approved", "look", "owner_signs"),
    ("shift by its owner, there", replace(SHIFT, signs=False, arrived=True), 0, "done", "look",
     None),
    ("withdrawal", OUT, 0, "requested", "check", None),
    ("withdrawal, its rule is known", CHECKED, 0, "approved", "leave", None),
    ("refused by its rule", replace(OUT, refused="below_minimum"), 0, "failed", "look",
     "below_minimum"),
    ("its caller is gone", LEFT, 40, "sending", "ask", None),
    ("refused", replace(LEFT, refused="bad_address"), 0, "failed", "ask", "bad_address"),
    ("refused, a day later", replace(LEFT, refused="bad_address", ended_at=NOW), DAY, "failed",
     "look", "bad_address"),
    ("lost on its way to a venue, a day later", replace(DEEP, lost=True, ended_at=NOW), DAY,
     "failed", "look", "written_off"),
    ("no answer", UNKNOWN, 1, "sending", "ask", "outcome_unknown"),
    ("absent for an hour", absent(UNKNOWN, 1, 3600, 99), 3600, "sending", "ask",
     "outcome_unknown"),
    ("absent, and the same id does nothing twice", absent(SAFE, 1, 61), 61, "sending", "leave",
     "outcome_unknown"),
    ("absent too early", absent(SAFE, 1, 60), 60, "sending", "ask", "outcome_unknown"),
    ("absent twice", absent(SAFE, 1, 90, 2), 90, "sending", "ask", "outcome_unknown"),
    ("sent twice, absent", absent(replace(SAFE, sends=2), 1, 90), 90, "sending", "ask",
     "outcome_unknown"),
    ("the second one refused", replace(SAFE, sends=2, refused="duplicate"), 1, "sending", "ask",
     "outcome_unknown"),
    ("written off", replace(UNKNOWN, written_off=True), 1, "failed", "ask", "written_off"),
    ("written off, and there after all", replace(SHOWN, written_off=True), 1, "in_transit", "ask",
     None),
    ("pending there", SHOWN, 1, "in_transit", "ask", None),
    ("on its way", SENT, 1, "in_transit", "look", None),
    ("an hour on its way", SENT, 3600, "in_transit", "look", "late"),
    ("an hour until it is credited", replace(DEEP, sent_at=NOW), 3600, "in_transit", "ask",
     "late"),
    ("arrived", replace(SENT, arrived=True), 1, "done", "look", None),
    ("arrived before the venue's last word", replace(SHOWN, arrived=True), 1, "done", "ask", None),
    ("failed there", replace(SHOWN, shown=TransferStatus.FAILED), 1, "failed", "ask",
     "refused_by_venue"),
    ("lost on its way to a venue", replace(DEEP, lost=True), 1, "failed", "ask", "written_off"),
    ("lost, and a fork took its block", replace(PREPARED, lost=True), 1, "sending", "look", None),
    ("lost, and credited after all", replace(DEEP, lost=True, booked=True, arrived=True), 1, "done",
     "look", None),
    ("lost on its way from a venue", replace(SENT, lost=True), 1, "failed", "ask", "written_off"),
    ("lost while it is pending there", replace(SHOWN, lost=True), 1, "failed", "ask",
     "written_off"),
    ("lost, and there after all", replace(SENT, lost=True, arrived=True), 1, "done", "look", None),
    ("lost, and given back", replace(SENT, lost=True, shown=TransferStatus.FAILED), 1, "failed",
     "ask", "refused_by_venue"),
    ("fiat, lost", replace(REMIT, booked=True, arrived=True, lost=True), 0, "failed", "look",
     "written_off"),
    ("from a bank, lost", replace(ORDERED, lost=True, returned=True), 0, "failed", "look",
     "written_off"),
    ("from a bank, credited, and no line ever", replace(FUND, booked=True, arrived=True, lost=True),
     0, "done", "look", None),
    ("fiat", REMIT, 0, "approved", "look", "order_at_venue"),
    ("fiat, cancelled", replace(REMIT, cancelled=True), 0, "failed", "look", "cancelled"),
    ("fiat, ordered", replace(REMIT, booked=True), 0, "in_transit", "look", None),
    ("fiat, on the statement", replace(REMIT, booked=True, arrived=True), 0, "done", "look", None),
    ("from a bank", FUND, 0, "approved", "ask", "order_at_bank"),
    ("from a bank, after a month", replace(FUND, sent_at=None), 30 * DAY, "approved", "ask",
     "order_at_bank"),
    ("from a bank, cancelled", replace(FUND, cancelled=True), 0, "failed", "look", "cancelled"),
    ("from a bank, ordered", ORDERED, 0, "sending", "ask", None),
    ("from a bank, ordered and cancelled", replace(ORDERED, cancelled=True), 0, "failed", "look",
     "cancelled"),
    ("from a bank, ordered a week ago", ORDERED, WEEK, "sending", "ask", "late"),
    ("a line shows it", replace(ORDERED, arrived=True), 0, "in_transit", "ask", None),
    ("a line shows it before anybody said so", replace(FUND, arrived=True), 0, "in_transit", "ask",
     None),
    ("a line shows what was cancelled", replace(FUND, arrived=True, cancelled=True), 0,
     "in_transit", "ask", None),
    ("left a week ago", replace(ORDERED, arrived=True), WEEK, "in_transit", "ask", "late"),
    ("left a moment less ago", replace(ORDERED, arrived=True), WEEK - 1, "in_transit", "ask", None),
    ("credited before its line", replace(ORDERED, booked=True), WEEK, "in_transit", "look", None),
    ("credited what was cancelled", replace(FUND, booked=True, cancelled=True), 0, "in_transit",
     "look", None),
    ("the venue has another amount", replace(ORDERED, arrived=True, differs=True), 0, "in_transit",
     "ask", "amount_differs"),
    ("it credited another amount", replace(ORDERED, arrived=True, booked=True, differs=True), 0,
     "in_transit", "look", "amount_differs"),
    ("both sides", replace(FUND, arrived=True, booked=True), 0, "done", "look", None),
    ("it came back to the bank", replace(ORDERED, returned=True), 0, "failed", "look", "returned"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "later", "status", "action", "reason"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_table(facts: Facts, later: float, status: str, action: str, reason: str | None) -> None:
    found = judge(facts, NOW + timedelta(seconds=later), W)
    assert (found.status, found.action, found.reason) == (status, action, reason)


def test_a_person_is_told_after_a_while() -> None:
    assert not judge(UNKNOWN, NOW + timedelta(seconds=119), W).tell
    assert judge(UNKNOWN, NOW + timedelta(seconds=120), W).tell


def test_a_person_is_told_what_a_bank_and_a_venue_disagree_about() -> None:
    differs = replace(ORDERED, arrived=True, differs=True)
    assert judge(differs, NOW, W).tell
    left = replace(ORDERED, arrived=True)
    assert not judge(left, NOW + timedelta(seconds=WEEK - 1), W).tell
    assert judge(left, NOW + timedelta(seconds=WEEK), W).tell
    assert not judge(replace(left, booked=True, arrived=False), NOW + timedelta(days=99), W).tell


def test_what_is_over_is_looked_at_for_a_day() -> None:
    lost = replace(UNKNOWN, written_off=True, ended_at=NOW)
    assert judge(lost, NOW + timedelta(seconds=DAY - 1), W).due_at is not None
    assert judge(lost, NOW + timedelta(seconds=DAY), W).due_at is None
    sent = replace(DEEP, lost=True, ended_at=NOW)
    assert judge(sent, NOW + timedelta(seconds=DAY - 1), W).due_at is not None
    assert judge(sent, NOW + timedelta(seconds=DAY), W).due_at is None


TRANSACTIONS = st.none() | st.builds(
    TransactionFact,
    status=st.sampled_from(["prepared", "sent", "mined", "confirmed", "failed", "cancelled"]),
    worked=st.booleans(),
)
MOMENTS = st.none() | st.integers(0, 2 * DAY).map(lambda s: NOW + timedelta(seconds=s))
FACTS = st.builds(
    Facts,
    way=st.sampled_from(Way),
    refused=st.sampled_from([None, "no"]),
    transaction=TRANSACTIONS,
    sends=st.integers(0, 2),
    sent_at=MOMENTS,
    unknown_since=MOMENTS,
    absent=st.integers(0, 5),
    absent_since=MOMENTS,
    absent_at=MOMENTS,
    shown=st.none() | st.sampled_from(TransferStatus),
    ended_at=MOMENTS,
    **{
        name: st.booleans()
        for name in (
            "checked", "held", "signs", "short", "cancelled", "booked", "arrived", "differs",
            "returned", "resend_is_safe", "has_hash", "written_off", "lost",
        )
    },
)  # fmt: skip


@given(FACTS, st.integers(0, 2 * DAY))
def test_nothing_leaves_twice(facts: Facts, later: int) -> None:
    """What may have left is sent again only where that does nothing twice; what is not over is
    looked at again, or a person has the next word."""
    found = judge(facts, NOW + timedelta(seconds=later), W)
    if found.action is Action.LEAVE:
        assert facts.transaction is None
        assert facts.shown is None
        if facts.sends == 0 or facts.way is not Way.WITHDRAW:  # only these are counted
            assert not facts.held
            assert not facts.cancelled
        else:
            assert facts.resend_is_safe
            assert facts.sends == 1
    if found.status not in OVER and found.due_at is None:
        assert found.reason in ("address_held", "order_at_venue")
    if found.status is MoveStatus.DONE:
        assert facts.arrived or facts.way is Way.SHIFT
        if facts.way is Way.FUND:
            assert facts.booked
            assert not facts.differs


def test_the_venues_last_word_is_asked_for_ever_more_rarely() -> None:
    """Also of what has arrived; not for ever."""
    early = replace(SHOWN, arrived=True, ended_at=NOW)
    pauses = []
    for seconds in (0, 60, 3600, DAY - 1, DAY):
        now = NOW + timedelta(seconds=seconds)
        due_at = judge(early, now, W).due_at
        pauses.append(due_at and (due_at - now).total_seconds())
    assert pauses == [0.5, 15, 900, 3600, None]
