"""What is offered for gas: never above the caps, always enough to be mined when it can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.fees import (
    FLOOR,
    HEADROOM,
    Fees,
    FeesTooHigh,
    Market,
    Urgency,
    bump,
    ceiling,
    offer,
    read_market,
)
from core.networks import GWEI, FeePolicy

POLICY = FeePolicy()

wei = st.integers(0, 10**15)
urgencies = st.sampled_from(Urgency)
policies = st.builds(FeePolicy, max_fee=st.integers(1, 10**13), max_priority_fee=wei)
markets = st.builds(
    Market, wei, st.tuples(wei, wei, wei).map(lambda t: dict(zip(Urgency, sorted(t), strict=True)))
)
caps = st.none() | st.integers(0, 10**24)
gases = st.integers(21_000, 30_000_000)


def market(base: int, *tips: int) -> Market:
    return Market(base, dict(zip(Urgency, tips, strict=True)))


def test_a_market_is_read_from_the_blocks_that_held_transactions() -> None:
    read = read_market(
        [10, 11, 12, 13],
        [True, False, True],
        [[1, 5, 9], [0, 0, 0], [3, 7, 11]],
    )
    assert read == market(13, 1, 5, 9)


def test_a_chain_without_transactions_shows_no_tips() -> None:
    assert read_market([7, 8], [False], [[0, 0, 0]]) == market(8, 0, 0, 0)
    assert read_market([7, 8], [], []) == market(8, 0, 0, 0)


@pytest.mark.parametrize(
    ("urgency", "expected"),
    [
        (Urgency.SLOW, Fees(26 * GWEI, GWEI)),
        (Urgency.NORMAL, Fees(42 * GWEI, 2 * GWEI)),
        (Urgency.FAST, Fees(64 * GWEI, 4 * GWEI)),
    ],
)
def test_headroom_and_tip_follow_the_urgency(urgency: Urgency, expected: Fees) -> None:
    assert offer(market(20 * GWEI, GWEI, 2 * GWEI, 4 * GWEI), POLICY, urgency, gas=1) == expected


def test_where_the_base_fee_is_zero_a_tip_is_offered_all_the_same() -> None:
    free = market(0, 0, 0, 0)
    assert offer(free, POLICY, Urgency.NORMAL, gas=21_000) == Fees(FLOOR, FLOOR)
    assert offer(market(0, 5 * GWEI, 5 * GWEI, 5 * GWEI), POLICY, Urgency.SLOW, gas=1) == Fees(
        5 * GWEI, 5 * GWEI
    )


def test_the_transactions_own_cap_is_for_all_of_its_gas() -> None:
    busy = market(20 * GWEI, GWEI, GWEI, GWEI)
    whole = 21_000 * 25 * GWEI
    assert offer(busy, POLICY, Urgency.NORMAL, gas=21_000, fee_cap=whole) == Fees(25 * GWEI, GWEI)
    with pytest.raises(FeesTooHigh) as refused:
        offer(busy, POLICY, Urgency.NORMAL, gas=42_000, fee_cap=whole)
    assert (refused.value.base_fee, refused.value.limit) == (20 * GWEI, 12_500_000_000)


def test_a_bump_is_an_eighth_on_both_rounded_up() -> None:
    calm = market(GWEI, 1, 1, 1)
    assert bump(Fees(100, 9), market(1, 1, 1, 1), POLICY, Urgency.SLOW, gas=1) == Fees(
        FLOOR + 2, FLOOR
    )
    assert bump(Fees(10 * GWEI, 3), calm, POLICY, Urgency.SLOW, gas=1) == Fees(
        11_250_000_000, FLOOR
    )
    raised = bump(Fees(9 * GWEI + 1, GWEI + 1), calm, POLICY, Urgency.SLOW, gas=1)
    assert raised == Fees(10_125_000_002, 1_125_000_002)


def test_a_bump_stops_at_the_caps() -> None:
    calm = market(GWEI, 1, 1, 1)
    assert bump(Fees(290 * GWEI, GWEI), calm, POLICY, Urgency.FAST, gas=1) is None
    assert bump(Fees(50 * GWEI, 19 * GWEI), calm, POLICY, Urgency.FAST, gas=1) is None
    assert bump(Fees(GWEI, 1), calm, POLICY, Urgency.FAST, gas=10, fee_cap=11 * GWEI) is None


@given(markets, policies, urgencies, gases, caps)
def test_an_offer_keeps_to_every_cap_and_can_be_mined(
    market: Market, policy: FeePolicy, urgency: Urgency, gas: int, cap: int | None
) -> None:
    limit = ceiling(policy, gas, cap)
    try:
        fees = offer(market, policy, urgency, gas=gas, fee_cap=cap)
    except FeesTooHigh:
        assert market.base_fee > limit
        return
    assert market.base_fee <= fees.max_fee <= limit
    assert 0 <= fees.priority_fee <= min(fees.max_fee, policy.max_priority_fee)
    assert cap is None or fees.max_fee * gas <= cap
    wanted = market.base_fee * HEADROOM[urgency]
    assert fees.max_fee == limit or fees.max_fee * 100 >= wanted


@given(markets, policies, urgencies, gases, caps, st.tuples(wei, wei))
def test_a_bump_outbids_by_an_eighth_or_is_not_made(
    market: Market,
    policy: FeePolicy,
    urgency: Urgency,
    gas: int,
    cap: int | None,
    last: tuple[int, int],
) -> None:
    tip, most = sorted(last)
    made = bump(Fees(most, tip), market, policy, urgency, gas=gas, fee_cap=cap)
    if made is None:
        limit = ceiling(policy, gas, cap)
        least, least_tip = max(most + 1, -(-most * 9 // 8)), max(tip + 1, -(-tip * 9 // 8))
        assert max(least, market.base_fee) > limit or least_tip > policy.max_priority_fee
        return
    assert made.max_fee * 8 >= most * 9
    assert made.priority_fee * 8 >= tip * 9
    assert (made.max_fee, made.priority_fee) > (most, tip)
    assert made.priority_fee <= min(made.max_fee, policy.max_priority_fee)
    assert made.max_fee <= ceiling(policy, gas, cap)
    assert made.max_fee >= market.base_fee


@given(markets, urgencies)
def test_nobody_outbids_an_offer_that_was_just_made(market: Market, urgency: Urgency) -> None:
    generous = FeePolicy(max_fee=10**30, max_priority_fee=10**30)
    assert not market.outbids(offer(market, generous, urgency, gas=1), urgency)


def test_a_base_fee_that_rose_outbids() -> None:
    fees = Fees(20 * GWEI, GWEI)
    assert not market(19 * GWEI, GWEI, GWEI, GWEI).outbids(fees, Urgency.NORMAL)
    assert market(19 * GWEI + 1, GWEI, GWEI, GWEI).outbids(fees, Urgency.NORMAL)
    assert market(30 * GWEI, GWEI, GWEI, GWEI).outbids(fees, Urgency.SLOW)
    # others tip more than we offer, although the base fee did not move
    assert market(GWEI, GWEI, 2 * GWEI, 3 * GWEI).outbids(fees, Urgency.NORMAL)
