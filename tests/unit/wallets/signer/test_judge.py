"""The judge: every refusal by its code, limits to the last base unit, variants and approvals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.networks import NATIVE
from tests.unit.wallets.signer import world as w
from wallets.intents import Approval, Order, Payout, PayoutBatch, SweepBatch, transaction
from wallets.signer.approvals import ORDER
from wallets.signer.facts import Allowed, Denied, Facts, Issued, Spent
from wallets.signer.judge import content_of, judge, judge_quote
from wallets.signer.policy import parse

POLICY = parse(w.POLICY)
ALONE = parse(w.POLICY[w.POLICY.index("[networks") :])  # nobody can approve


def judged(order: Order, facts: Facts | None = None, policy: Any = POLICY) -> Allowed:
    return judge(policy, order, facts or Facts(), w.NOW)


def refused(order: Order, facts: Facts | None = None, policy: Any = POLICY) -> Denied:
    with pytest.raises(Denied) as caught:
        judged(order, facts, policy)
    return caught.value


def issued(order: Order, *, broadcast: bool = False, raw: str | None = "0x02") -> Issued:
    return Issued(
        order_id=order.id,
        content=content_of(order, transaction(order)),
        is_cancel=type(order.intent).__name__ == "Cancel",
        gas=order.gas,
        max_fee=order.max_fee,
        priority_fee=order.priority_fee,
        broadcast=broadcast,
        raw=raw,
    )


@pytest.mark.parametrize("intent", w.every_intent(), ids=lambda i: type(i).__name__)
def test_what_the_policy_names_is_signed(intent: Any) -> None:
    order = w.order(intent)
    allowed = judged(order)
    assert allowed.call == transaction(order)
    assert not allowed.known


@pytest.mark.parametrize(
    ("code", "order"),
    [
        ("unknown_network", w.order(network="eip155:1")),
        ("wrong_chain", w.order(chain_id=1)),
        ("unknown_wallet", w.order(wallet=w.MALLORY)),
        ("unknown_wallet", w.order(wallet=w.QUOTER)),
        ("intent_refused", w.order(wallet=w.RELAYER)),
        ("intent_refused", w.order(w.sweep(), wallet=w.HOT)),
        ("intent_refused", w.order(w.deploy(), wallet=w.HOT)),
        ("malformed", w.order(gas=0)),
        ("malformed", w.order(nonce=-1)),
        ("malformed", w.order(nonce=2**63)),
        ("malformed", w.order(max_fee=0)),
        ("malformed", w.order(priority_fee=101 * w.GWEI)),
        ("malformed", w.order(priority_fee=-1)),
        ("malformed", w.order(id="tx 1")),
        ("malformed", w.order(id="")),
        ("malformed", w.pay(amount=0)),
        ("malformed", w.pay(amount=-1)),
        ("malformed", w.pay(token=w.USDC, amount=2**256)),
        ("malformed", w.pay(to="0x" + "bb" * 19)),
        ("malformed", w.pay(to="0x" + "BB" * 20)),
        ("malformed", w.pay(to="vitalik.eth")),
        ("malformed", w.pay(id="pay\n1")),
        ("malformed", w.batch()),
        ("malformed", w.batch(*[w.payment(id="pay_same")] * 2)),
        ("malformed", w.batch(*[w.payment(amount=1) for _ in range(501)])),
        ("malformed", w.order(w.sweep(batches=()))),
        ("malformed", w.order(w.sweep(batches=(SweepBatch(token=NATIVE, fresh=0, salts=()),)))),
        ("malformed", w.order(w.deploy(init_code="6001"))),
        ("malformed", w.order(w.relay(authorization="0x00"))),
        ("malformed", w.order(w.relay_transfer(signature="0x00"))),
        ("malformed", w.order(w.relay_transfer(token=NATIVE))),
        ("unknown_asset", w.pay(token=w.FOREIGN, amount=1)),
        ("unknown_asset", w.batch(w.payment(), w.payment(token=w.FOREIGN, amount=1))),
        ("unknown_asset", w.order(w.move(token=w.FOREIGN))),
        ("unknown_asset", w.order(w.allowance(token=w.FOREIGN))),
        ("unknown_asset", w.order(w.sweep_known(token=w.FOREIGN))),
        ("unknown_asset", w.order(w.relay(asset=w.FOREIGN))),
        ("unknown_asset", w.order(w.relay_transfer(token=w.FOREIGN))),
        ("destination_refused", w.order(w.relay_transfer(to=w.CUSTOMER))),
        ("destination_refused", w.order(w.relay_transfer(to=w.TREASURY))),
        ("destination_refused", w.order(w.relay_transfer(salt="0x" + "52" * 32))),
        ("destination_refused", w.pay(to="0x" + "00" * 20)),
        ("destination_refused", w.pay(to=w.HOT)),
        ("destination_refused", w.pay(to=w.RELAYER)),
        ("destination_refused", w.pay(to=w.USDC, token=w.USDC, amount=1)),
        ("destination_refused", w.pay(to=w.FACTORY)),
        ("destination_refused", w.pay(to=w.MULTISEND)),
        ("destination_refused", w.pay(to=w.ROUTER)),
        ("destination_refused", w.order(w.move(to=w.CUSTOMER))),
        ("destination_refused", w.order(w.move(token=w.USDC))),  # the policy has no moves of it
        ("destination_refused", w.order(w.move(amount=0))),
        ("velocity_exceeded", w.order(w.move(amount=100 * w.ETHER + 1))),
        ("contract_refused", w.order(w.sweep(factory=w.MALLORY))),
        ("contract_refused", w.order(w.sweep_known(factory=w.MALLORY))),
        ("contract_refused", w.order(w.allowance(spender=w.MALLORY))),
        ("contract_refused", w.order(w.allowance(spender=w.ROUTER))),
        ("contract_refused", w.order(w.deploy(init_code="0x6001600156"))),
        ("contract_refused", w.order(replace(w.relay(), router=w.MALLORY))),
        ("contract_refused", w.order(PayoutBatch(multisend=w.MALLORY, payments=(w.payment(),)))),
        ("fee_above_cap", w.order(gas=500_001)),
        ("fee_above_cap", w.pay(fee_cap=21_000 * 100 * w.GWEI - 1)),
        ("expired", w.pay(expires_at=w.NOW)),
        ("approval_needed", w.pay(amount=w.ETHER + 1)),
        ("amount_above_limit", w.pay(amount=50 * w.ETHER + 1)),
    ],
)
def test_what_it_does_not_name_is_refused(code: str, order: Order) -> None:
    assert refused(order).code == code


def test_limits_hold_to_the_last_unit() -> None:
    assert judged(w.pay(amount=w.ETHER)).spends[0].amount == w.ETHER
    assert refused(w.pay(amount=w.ETHER + 1)).needed == 2
    hour = Facts(spent={NATIVE: Spent(hour=2 * w.ETHER, day=2 * w.ETHER)})
    judged(w.pay(amount=w.ETHER), hour)
    more = Facts(spent={NATIVE: Spent(hour=2 * w.ETHER + 1, day=2 * w.ETHER + 1)})
    assert refused(w.pay(amount=w.ETHER), more).code == "approval_needed"
    day = Facts(spent={NATIVE: Spent(day=9 * w.ETHER + 1)})
    assert refused(w.pay(amount=w.ETHER), day).code == "approval_needed"
    judged(w.pay(amount=10**9, token=w.USDC), day)  # another asset has its own
    moved = Facts(spent={NATIVE: Spent(moved=40 * w.ETHER)})
    judged(w.order(w.move()), moved)
    assert refused(w.order(w.move(amount=60 * w.ETHER + 1)), moved).code == "velocity_exceeded"


def test_a_batch_counts_as_its_sum() -> None:
    three = [w.payment(amount=w.ETHER) for _ in range(3)]
    assert sum(s.amount for s in judged(w.batch(*three)).spends) == 3 * w.ETHER
    assert refused(w.batch(*three, w.payment(amount=1))).code == "approval_needed"
    # one that persons answer for is not counted against what leaves by itself
    large = w.approved(w.payment(amount=20 * w.ETHER), w.ADA_KEY, w.BOB_KEY)
    spends = judged(w.batch(*three, large)).spends
    assert [s.attended for s in spends] == [False, False, False, True]


def test_without_approvers_a_limit_is_final() -> None:
    assert refused(w.pay(amount=w.ETHER + 1), policy=ALONE).code == "amount_above_limit"
    full = Facts(spent={NATIVE: Spent(hour=3 * w.ETHER)})
    assert refused(w.pay(amount=1), full, ALONE).code == "velocity_exceeded"


def test_fees_of_a_day() -> None:
    order = w.pay()
    judged(order, Facts(fees=w.ETHER - order.fee))
    assert refused(order, Facts(fees=w.ETHER - order.fee + 1)).code == "fees_exceeded"
    # of one nonce only one transaction is mined: the dearest counts, and it counts once
    dear = issued(replace(w.pay(), gas=400_000))
    room = w.ETHER - dear.gas * dear.max_fee
    judged(order, Facts(here=(dear,), fees=room))
    assert refused(order, Facts(here=(dear,), fees=room + 1)).code == "fees_exceeded"


LARGE = w.payment(amount=5 * w.ETHER)


def changed(payment: Any, **said: Any) -> Order:
    """What was approved, with something else in it."""
    good = w.approved(payment, w.ADA_KEY, w.BOB_KEY)
    return w.order(Payout(payment=replace(good, **said)))


def twin(approval: Approval) -> Approval:
    raw = bytes.fromhex(approval.signature[2:])
    high = ORDER - int.from_bytes(raw[32:64], "big")
    other = raw[:32] + high.to_bytes(32, "big") + bytes([55 - raw[64]])
    return replace(approval, signature="0x" + other.hex())


def test_enough_approvals_open_the_limit() -> None:
    allowed = judged(w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY, w.EVE_KEY))))
    assert allowed.spends[0].attended
    assert allowed.nonces == (LARGE.nonce,)
    one = refused(w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY))))
    assert (one.code, one.needed, one.given) == ("approval_needed", 2, 1)


@pytest.mark.parametrize(
    ("code", "order"),
    [
        ("approval_invalid", changed(LARGE, amount=LARGE.amount + 1)),
        ("approval_invalid", changed(LARGE, amount=LARGE.amount - 1)),
        ("approval_invalid", changed(LARGE, to=w.MALLORY)),
        ("approval_invalid", changed(LARGE, token=w.USDC)),
        ("approval_invalid", changed(LARGE, id="pay_other")),
        ("approval_invalid", changed(LARGE, nonce=LARGE.nonce + 1)),
        ("approval_invalid", changed(LARGE, expires_at=LARGE.expires_at + 1)),
        ("approval_invalid", changed(LARGE, fee_cap=LARGE.fee_cap + 1)),
        ("approval_invalid", changed(LARGE, initiator="")),
        ("expired", changed(replace(LARGE, expires_at=w.NOW - 1))),
        (
            "approval_invalid",  # over another chain
            w.order(
                Payout(
                    payment=replace(
                        LARGE,
                        approvals=(w.approval(w.ADA_KEY, LARGE, 1), w.approval(w.BOB_KEY, LARGE)),
                    )
                )
            ),
        ),
        (
            "approval_invalid",  # the same person twice
            w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY, w.ADA_KEY))),
        ),
        (
            "approval_invalid",  # the same signature in its other form
            w.order(
                Payout(
                    payment=replace(
                        LARGE,
                        approvals=(
                            w.approval(w.ADA_KEY, LARGE),
                            twin(w.approval(w.BOB_KEY, LARGE)),
                        ),
                    )
                )
            ),
        ),
        (
            "approval_invalid",  # nobody that the policy knows
            w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY, w.MALLORY_KEY))),
        ),
        (
            "approval_invalid",  # one name, another's hand
            w.order(
                Payout(
                    payment=replace(
                        LARGE,
                        approvals=(
                            w.approval(w.ADA_KEY, LARGE),
                            replace(w.approval(w.MALLORY_KEY, LARGE), approver=w.BOB),
                        ),
                    )
                )
            ),
        ),
        (
            "own_approval",
            w.order(
                Payout(
                    payment=w.approved(
                        replace(LARGE, initiator=w.ADA_API_KEY), w.ADA_KEY, w.BOB_KEY
                    )
                )
            ),
        ),
        (
            "approval_invalid",  # also where none would be needed
            w.order(Payout(payment=w.approved(w.payment(), w.MALLORY_KEY))),
        ),
    ],
)
def test_approvals_are_good_for_what_they_say(code: str, order: Order) -> None:
    assert refused(order).code == code


def test_an_approval_is_used_once() -> None:
    order = w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY, w.BOB_KEY)))
    assert refused(order, Facts(used=frozenset({LARGE.nonce}))).code == "approval_replayed"
    other = w.approved(w.payment(nonce=LARGE.nonce), w.ADA_KEY, w.BOB_KEY)
    both = w.batch(order.intent.payment, other)  # type: ignore[union-attr]
    assert refused(both).code == "approval_replayed"


def test_the_same_order_is_the_same_signature() -> None:
    order = w.pay()
    given = issued(order, broadcast=True)
    spent = Facts(here=(given,), spent={NATIVE: Spent(hour=10**30)}, fees=10**30)
    allowed = judged(order, spent)
    assert allowed.again == given
    assert (allowed.spends, allowed.nonces) == ((), ())
    # one that was counted but never came to its bytes is signed without being counted again
    cut = replace(spent, here=(issued(order, raw=None),), fees=0)
    assert judged(order, cut).known
    assert judged(order, cut).again is None


def bumped(order: Order, numerator: int, denominator: int = 1000) -> Order:
    return replace(
        order,
        max_fee=order.max_fee * numerator // denominator,
        priority_fee=order.priority_fee * numerator // denominator,
    )


def test_variants_of_what_was_sent_pay_an_eighth_more() -> None:
    order = w.pay()
    sent = Facts(here=(issued(order, broadcast=True),), spent={NATIVE: Spent(hour=10**30)})
    allowed = judged(bumped(order, 1125), sent)
    assert allowed.known
    assert not allowed.spends
    assert refused(bumped(order, 1124), sent).code == "bump_too_small"
    assert refused(replace(order, max_fee=order.max_fee * 2), sent).code == "bump_too_small"
    # as long as nothing left, fees are free
    quiet = Facts(here=(issued(order),), spent={NATIVE: Spent(hour=10**30)})
    assert judged(bumped(order, 900), quiet).known
    # a stuck payment may still be bumped when its time is over
    late = replace(order.intent.payment, expires_at=w.NOW - 1)  # type: ignore[union-attr]
    stuck = replace(order, intent=Payout(payment=late))
    facts = Facts(here=(issued(stuck, broadcast=True),))
    assert judged(bumped(stuck, 1125), facts).known
    assert refused(bumped(stuck, 30_000), facts).code == "fee_above_cap"


def test_a_nonce_belongs_to_what_was_sent() -> None:
    first = w.pay()
    second = replace(w.pay(), nonce=first.nonce)
    judged(second, Facts(here=(issued(first),)))
    assert refused(second, Facts(here=(issued(first, broadcast=True),))).code == "nonce_in_use"
    elsewhere = Facts(elsewhere=(issued(first, broadcast=True),))
    assert refused(replace(first, nonce=first.nonce + 1), elsewhere).code == "nonce_in_use"
    judged(replace(first, nonce=first.nonce + 1), Facts(elsewhere=(issued(first),)))
    for facts in (Facts(here=(issued(first),)), Facts(elsewhere=(issued(first),))):
        other = replace(first, intent=w.pay(amount=7).intent)
        assert refused(other, facts).code == "order_changed"


def test_of_two_at_a_nonce_the_one_that_left_has_it() -> None:
    first = w.pay()
    second = replace(w.pay(), nonce=first.nonce)
    facts = Facts(here=(issued(first), issued(second, broadcast=True)))
    assert refused(bumped(first, 2000), facts).code == "nonce_in_use"
    assert judged(first, facts).again is not None  # it was given before
    assert judged(bumped(second, 2000), facts).known


def test_a_cancel_takes_the_place_of_anything() -> None:
    first = w.pay()
    sent = Facts(here=(issued(first, broadcast=True),))
    for cancel in (w.order(w.cancel(), nonce=first.nonce), replace(first, intent=w.cancel())):
        assert judged(bumped(cancel, 1125), sent).spends == ()
        assert refused(cancel, sent).code == "bump_too_small"


def test_a_cancel_opens_no_door_for_a_payment() -> None:
    """A cancel under an order's id is no proof that its payment was ever judged."""
    payout = w.pay(amount=40 * w.ETHER)
    cancel = replace(payout, intent=w.cancel())
    for broadcast, code in ((False, "approval_needed"), (True, "nonce_in_use")):
        facts = Facts(here=(issued(cancel, broadcast=broadcast),))
        assert refused(payout, facts).code == code


def test_content_is_all_but_approvals() -> None:
    order = w.order(Payout(payment=w.approved(LARGE, w.ADA_KEY)))
    same = w.approved(LARGE, w.ADA_KEY, w.BOB_KEY)
    bare = issued(replace(order, intent=Payout(payment=same)))
    assert judged(order, Facts(here=(bare,))).known
    changes: list[dict[str, Any]] = [
        {"fee_cap": 1},
        {"nonce": 1},
        {"id": "pay_z"},
        {"initiator": ""},
    ]
    for change in changes:
        other = replace(LARGE, **change)
        facts = Facts(here=(issued(replace(order, intent=Payout(payment=other))),))
        assert refused(order, facts).code == "order_changed"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("unknown_network", {"network": "eip155:1"}),
        ("wrong_chain", {"chain_id": 1}),
        ("contract_refused", {"router": w.MALLORY}),
        ("unknown_asset", {"asset": w.FOREIGN}),
        ("malformed", {"amount": 0}),
        ("malformed", {"amount": 2**256}),
        ("malformed", {"nonce": -1}),
        ("malformed", {"invoice": "0x01"}),
        ("expired", {"deadline": w.NOW}),
        ("expired", {"deadline": w.NOW + 3601}),
    ],
)
def test_quotes(code: str, change: dict[str, Any]) -> None:
    judge_quote(POLICY, w.quote(), w.NOW)
    with pytest.raises(Denied) as caught:
        judge_quote(POLICY, w.quote(**change), w.NOW)
    assert caught.value.code == code


@given(st.lists(st.integers(1, 2 * w.ETHER), max_size=12), st.integers(0, 3 * w.ETHER))
def test_never_more_than_the_window(amounts: list[int], before: int) -> None:
    """Whatever is asked, one payment at a time or at once: what goes unattended fits."""
    left_hour, codes = before, {"approval_needed"}
    for amount in amounts:
        facts = Facts(spent={NATIVE: Spent(hour=left_hour, day=left_hour)})
        try:
            judged(w.pay(amount=amount), facts)
        except Denied as denied:
            codes.add(denied.code)
            assert amount > w.ETHER or left_hour + amount > 3 * w.ETHER
        else:
            left_hour += amount
            assert amount <= w.ETHER
    assert codes == {"approval_needed"}
    assert left_hour <= max(before, 3 * w.ETHER)
    if amounts:
        facts = Facts(spent={NATIVE: Spent(hour=before, day=before)})
        fits = before + sum(amounts) <= 3 * w.ETHER and max(amounts) <= w.ETHER
        try:
            judged(w.batch(*[w.payment(amount=amount) for amount in amounts]), facts)
        except Denied:
            assert not fits
        else:
            assert fits
