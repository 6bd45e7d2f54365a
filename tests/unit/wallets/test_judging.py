"""The state machine of what leaves, as a table and against what must never happen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.broadcast import Presence
from chain.refusals import Refusal
from core.networks import Tier
from tests.unit.wallets.networks import network
from wallets.judging import (
    ACCEPTED,
    CANCEL,
    FINAL_BLOCKS,
    INTENT,
    Action,
    Facts,
    Judgement,
    Mined,
    deep,
    final_block,
    judge,
)
from wallets.transactions import Status

SENT = Facts(nonce=7, outcome=ACCEPTED, presence=Presence.POOLED, count=7, final_count=5)
GONE = replace(SENT, presence=Presence.ABSENT)


def refused(refusal: Refusal, **changes: object) -> Facts:
    return replace(GONE, outcome=refusal.value, **changes)  # type: ignore[arg-type]


TABLE = [
    # before it has a nonce
    (Facts(nonce=None), Judgement(Status.PREPARED, Action.SEND)),
    (Facts(nonce=None, cancel_asked=True), Judgement(Status.CANCELLED, Action.WAIT, "cancelled")),
    # a receipt decides, whatever else is known
    (
        replace(SENT, mined=Mined(kind=INTENT, succeeded=True, deep=False)),
        Judgement(Status.MINED, Action.WAIT),
    ),
    (
        replace(SENT, mined=Mined(kind=INTENT, succeeded=True, deep=True)),
        Judgement(Status.CONFIRMED, Action.WAIT),
    ),
    (
        replace(SENT, mined=Mined(kind=INTENT, succeeded=False, deep=False)),
        Judgement(Status.MINED, Action.WAIT),
    ),
    (
        replace(SENT, mined=Mined(kind=INTENT, succeeded=False, deep=True)),
        Judgement(Status.FAILED, Action.WAIT, "reverted"),
    ),
    (
        replace(SENT, mined=Mined(kind=CANCEL, succeeded=True, deep=True)),
        Judgement(Status.CANCELLED, Action.WAIT, "cancelled"),
    ),
    # in the pool, gone from it, in a block that is not applied yet
    (SENT, Judgement(Status.SENT, Action.WAIT)),
    (GONE, Judgement(Status.SENT, Action.RESEND)),
    (replace(GONE, any_mined=True), Judgement(Status.SENT, Action.WAIT)),
    (replace(GONE, any_mined=True, count=8), Judgement(Status.SENT, Action.WAIT)),
    # an answer that nobody knows: the chain is asked, the same bytes are safe
    (replace(GONE, outcome=None), Judgement(Status.SENT, Action.RESEND)),
    (refused(Refusal.UNKNOWN), Judgement(Status.SENT, Action.RESEND)),
    (refused(Refusal.UNKNOWN, presence=Presence.POOLED), Judgement(Status.SENT, Action.WAIT)),
    (refused(Refusal.LATER), Judgement(Status.SENT, Action.RESEND)),
    (refused(Refusal.NO_FUNDS), Judgement(Status.SENT, Action.RESEND, "hot_wallet_short")),
    # fees
    (replace(SENT, waited=True), Judgement(Status.SENT, Action.WAIT)),
    (replace(SENT, outbid=True), Judgement(Status.SENT, Action.WAIT)),
    (replace(SENT, outbid=True, waited=True), Judgement(Status.SENT, Action.BUMP)),
    (
        replace(SENT, outbid=True, waited=True, can_bump=False),
        Judgement(Status.SENT, Action.WAIT, "fee_cap_reached"),
    ),
    (
        replace(GONE, outbid=True, waited=True, can_bump=False),
        Judgement(Status.SENT, Action.RESEND, "fee_cap_reached"),
    ),
    (refused(Refusal.FEE_TOO_LOW), Judgement(Status.SENT, Action.RESEND)),
    (refused(Refusal.FEE_TOO_LOW, outbid=True), Judgement(Status.SENT, Action.BUMP)),
    (refused(Refusal.UNDERPRICED), Judgement(Status.SENT, Action.BUMP)),
    (refused(Refusal.UNDERPRICED, presence=Presence.POOLED), Judgement(Status.SENT, Action.WAIT)),
    # a cancel that was asked for, and one that a dead nonce needs
    (replace(SENT, cancel_asked=True), Judgement(Status.SENT, Action.CANCEL)),
    (
        replace(SENT, cancel_asked=True, can_bump=False),
        Judgement(Status.SENT, Action.WAIT, "fee_cap_reached"),
    ),
    (replace(SENT, cancel_asked=True, kind=CANCEL), Judgement(Status.SENT, Action.WAIT)),
    (
        replace(SENT, cancel_asked=True, kind=CANCEL, outbid=True, waited=True),
        Judgement(Status.SENT, Action.BUMP),
    ),
    (refused(Refusal.FINAL), Judgement(Status.SENT, Action.CANCEL, "refused")),
    (refused(Refusal.FINAL, kind=CANCEL), Judgement(Status.SENT, Action.RESEND, "refused")),
    (refused(Refusal.FINAL, presence=Presence.POOLED), Judgement(Status.SENT, Action.WAIT)),
    # the nonce is gone to somebody else
    (replace(GONE, count=8), Judgement(Status.SENT, Action.DISPUTE, "nonce_used")),
    (replace(SENT, count=8), Judgement(Status.SENT, Action.DISPUTE, "nonce_used")),
    (
        replace(GONE, count=8, final_count=None),
        Judgement(Status.SENT, Action.DISPUTE, "nonce_used"),
    ),
    (replace(GONE, count=9, final_count=8), Judgement(Status.PREPARED, Action.RENEW, "nonce_used")),
    (
        replace(GONE, count=9, final_count=8, cancel_asked=True),
        Judgement(Status.CANCELLED, Action.WAIT, "nonce_used"),
    ),
    (
        replace(GONE, count=9, final_count=8, any_mined=True),
        Judgement(Status.SENT, Action.WAIT),
    ),
]


@pytest.mark.parametrize(("facts", "said"), TABLE)
def test_every_case_has_one_answer(facts: Facts, said: Judgement) -> None:
    assert judge(facts) == said


anything = st.builds(
    Facts,
    nonce=st.none() | st.integers(0, 3),
    mined=st.none()
    | st.builds(
        Mined, kind=st.sampled_from([INTENT, CANCEL]), succeeded=st.booleans(), deep=st.booleans()
    ),
    cancel_asked=st.booleans(),
    kind=st.sampled_from([INTENT, CANCEL]),
    outcome=st.sampled_from([None, ACCEPTED, *(r.value for r in Refusal)]),
    presence=st.sampled_from(Presence),
    any_mined=st.booleans(),
    count=st.none() | st.integers(0, 5),
    final_count=st.none() | st.integers(0, 5),
    outbid=st.booleans(),
    waited=st.booleans(),
    can_bump=st.booleans(),
)


@given(anything)
def test_a_nonce_is_never_given_up_while_a_variant_may_be_mined(facts: Facts) -> None:
    said = judge(facts)
    if said.action is Action.RENEW or (facts.nonce is not None and said.status in ENDED):
        decided = facts.mined is not None and facts.mined.deep
        gone = (
            facts.nonce is not None
            and facts.final_count is not None
            and facts.final_count > facts.nonce
            and not facts.any_mined
        )
        assert decided or gone


ENDED = (Status.CONFIRMED, Status.FAILED, Status.CANCELLED)


@given(anything)
def test_nothing_is_signed_for_what_a_block_carries_or_the_caps_forbid(facts: Facts) -> None:
    said = judge(facts)
    if said.action in (Action.BUMP, Action.CANCEL):
        assert facts.mined is None
        assert not facts.any_mined
        assert facts.can_bump
        assert facts.nonce is not None


@given(anything)
def test_only_what_succeeded_is_confirmed(facts: Facts) -> None:
    if judge(facts).status is Status.CONFIRMED:
        assert facts.mined is not None
        assert facts.mined.succeeded
        assert facts.mined.kind == INTENT


@given(anything)
def test_a_cancel_is_never_replaced_by_the_payment(facts: Facts) -> None:
    """Once a self-send was signed, a further variant is a self-send as well."""
    if facts.kind == CANCEL:
        assert judge(facts).action is not Action.CANCEL


@pytest.mark.parametrize(
    ("required", "cursor", "safe", "finalized", "expected"),
    [
        (1, 10, None, None, True),
        (3, 11, None, None, False),
        (3, 12, None, None, True),
        ("safe", 99, 9, None, False),
        ("safe", 99, 10, None, True),
        ("safe", 99, None, 10, False),
        ("finalized", 99, 50, None, False),
        ("finalized", 99, 50, 9, False),
        ("finalized", 99, 50, 10, True),
    ],
)
def test_depth_follows_the_strictest_tier(
    required: int | str, cursor: int, safe: int | None, finalized: int | None, expected: bool
) -> None:
    tiers = (Tier(up_to=100, required=1), Tier(up_to=None, required=required))
    assert deep(network(tiers=tiers), 10, cursor, safe, finalized) is expected


def test_final_is_what_the_network_calls_so_or_very_deep() -> None:
    assert final_block(100, 36) == 36
    assert final_block(100, 120) == 100
    assert final_block(5_000, None) == 5_000 - FINAL_BLOCKS
