"""What a payout is: an exhaustive table against a second, naive implementation, and its laws."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.payout_facts import ALLOWED, BACK, COOLING, OVER, PayoutFact, Status, judge
from tests.settings import numbers

GOOD = PayoutFact(screening="accept", policy="allow", signer=ALLOWED)
AWAY = replace(GOOD, under_way=True)

TABLE: list[tuple[str, PayoutFact, str, tuple[str, ...]]] = [
    ("nobody asked", PayoutFact(), "requested", ()),
    ("the signer is away", replace(GOOD, signer=None), "requested", ()),
    ("screening waits", replace(GOOD, screening=None), "requested", ()),
    ("all agree", GOOD, "approved", ()),
    ("no hot funds", replace(GOOD, hot_short=True), "approved", ("hot_wallet_short",)),
    ("screening holds", replace(GOOD, screening="hold"), "held", ("screening",)),
    ("screening rejects", replace(GOOD, screening="reject"), "rejected", ("screening",)),
    ("the policy blocks", replace(GOOD, policy="block"), "rejected", ("policy",)),
    ("approvals", replace(GOOD, policy="approve", needed=2), "held", ("approval_needed",)),
    ("one of two", replace(GOOD, needed=2, given=1), "held", ("approval_needed",)),
    ("two of two", replace(GOOD, needed=2, given=2), "approved", ()),
    (
        "the signer wants approvals",
        replace(GOOD, signer="approval_needed", needed=1),
        "held",
        ("approval_needed",),
    ),
    (
        "they are given, the signer will see",
        replace(GOOD, signer="approval_needed", needed=1, given=1),
        "approved",
        (),
    ),
    ("too fast", replace(GOOD, signer="velocity_exceeded"), "held", ("velocity_exceeded",)),
    ("refused", replace(GOOD, signer="unknown_asset"), "rejected", ("unknown_asset",)),
    ("overdrawn", replace(GOOD, overdrawn=True), "held", ("overdrawn",)),
    ("overdrawn before all", PayoutFact(overdrawn=True), "held", ("overdrawn",)),
    (
        "everything at once",
        replace(GOOD, overdrawn=True, screening="hold", needed=1),
        "held",
        ("overdrawn", "screening", "approval_needed"),
    ),
    ("a person", PayoutFact(rejected=True), "rejected", ("rejected",)),
    ("a person above all", replace(GOOD, overdrawn=True, rejected=True), "rejected", ("rejected",)),
    ("on its way", AWAY, "sending", ()),
    ("in a block", replace(AWAY, outcome="sent"), "sending", ()),
    ("deep enough", replace(AWAY, outcome="sent", final=True), "paid", ()),
    ("reverted in a block", replace(AWAY, outcome="refused"), "sending", ()),
    ("reverted for good", replace(AWAY, outcome="refused", final=True), "failed", ("reverted",)),
    (
        "at a bank whose account is new",
        replace(GOOD, signer=COOLING, needed=1),
        "held",
        ("destination_cooling", "approval_needed"),
    ),
    ("released to a new one", replace(GOOD, signer=COOLING, needed=1, given=1), "held", (COOLING,)),
    ("not by the bank", replace(AWAY, outcome="declined", final=True), "failed", ("declined",)),
    ("back from the bank", replace(AWAY, outcome="returned", final=True), "failed", ("returned",)),
    ("a word too late", replace(AWAY, rejected=True, screening="reject"), "sending", ()),
    ("a reversal too late", replace(AWAY, overdrawn=True), "sending", ()),
]


@pytest.mark.parametrize(("fact", "status", "reasons"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_table(fact: PayoutFact, status: str, reasons: tuple[str, ...]) -> None:
    answer = judge(fact)
    assert (answer.status.value, answer.reasons) == (status, reasons)


def naive(f: PayoutFact) -> str:
    """The rule once more, as one would say it."""
    if f.under_way:
        done = f.final and f.outcome
        return ("paid" if f.outcome == "sent" else "failed") if done else "sending"
    refusals = {"unknown_asset", "destination_refused"}
    if f.rejected or f.screening == "reject" or f.policy == "block" or f.signer in refusals:
        return "rejected"
    if f.overdrawn:
        return "held"
    if not (f.screening and f.policy and f.signer):
        return "requested"
    if f.screening == "hold" or f.signer in TIME or f.needed > f.given:
        return "held"
    return "approved"


FLAGS = (False, True)
SCREENING = (None, "accept", "hold", "reject")
POLICY = (None, "allow", "approve", "block")
TIME = ("velocity_exceeded", COOLING)
SIGNER = (None, ALLOWED, "approval_needed", *TIME, "unknown_asset")
OUTCOME = (None, "sent", "refused", "declined", "returned")


def test_every_combination_is_what_one_would_say() -> None:
    count = 0
    for screening, policy, signer, given_, overdrawn, short, rejected in product(
        SCREENING, POLICY, SIGNER, (0, 1, 2), FLAGS, FLAGS, FLAGS
    ):
        for under_way, outcome, final in product(FLAGS, OUTCOME, FLAGS):
            fact = PayoutFact(
                screening=screening, policy=policy, signer=signer, needed=1, given=given_,
                overdrawn=overdrawn, hot_short=short, rejected=rejected, under_way=under_way,
                outcome=outcome, final=final,
            )  # fmt: skip
            assert judge(fact).status.value == naive(fact), fact
            count += 1
    assert count == 4 * 4 * 6 * 3 * 8 * 20


facts = st.builds(
    PayoutFact,
    screening=st.sampled_from(SCREENING),
    policy=st.sampled_from(POLICY),
    signer=st.sampled_from(SIGNER),
    needed=st.integers(0, 3),
    given=st.integers(0, 3),
    overdrawn=st.booleans(),
    hot_short=st.booleans(),
    rejected=st.booleans(),
    under_way=st.booleans(),
    outcome=st.sampled_from(OUTCOME),
    final=st.booleans(),
)


@settings(max_examples=numbers(200, 20_000))
@given(facts)
def test_laws(fact: PayoutFact) -> None:
    answer = judge(fact)
    # stopped for a reason, and for none otherwise
    stopped = answer.status in (Status.HELD, Status.REJECTED, Status.FAILED)
    assert bool(answer.reasons) == stopped or answer.reasons == ("hot_wallet_short",)
    # what has left is nobody's to stop, what has not left is never over by the chain
    assert (answer.status in (Status.SENDING, Status.PAID, Status.FAILED)) == fact.under_way
    # one more approval never makes it worse
    order = [Status.REJECTED, Status.HELD, Status.REQUESTED, Status.APPROVED]
    if answer.status in order:
        more = judge(replace(fact, given=fact.given + 1)).status
        assert order.index(more) >= order.index(answer.status)
    assert set(BACK) < set(OVER)
