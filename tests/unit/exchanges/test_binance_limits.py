"""Buckets fed by the venue's own count, and its wish to be left alone."""

from __future__ import annotations

import pytest

from core.errors import VenueUnavailable
from exchanges.binance.clock import MAX_AGE, VenueClock
from exchanges.binance.limits import Limits
from tests.unit.exchanges.binance_stub import recorded, stub


class Time:
    """Both clocks of a test: seconds."""

    def __init__(self) -> None:
        self.venue = 1_800_000_000.0
        self.ours = 50.0

    def pass_(self, seconds: float) -> None:
        self.venue += seconds
        self.ours += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def limits(time: Time) -> Limits:
    return Limits(lambda: time.venue, lambda: time.ours)


def refused(limits: Limits, cost: dict[str, int], *, urgent: bool = False) -> int | None:
    """Seconds to wait, 0 where it says none; None: it may go."""
    try:
        limits.take(cost, urgent=urgent)
    except VenueUnavailable as away:
        return away.retry_after or 0
    limits.done(cost)
    return None


def test_what_the_venue_counts_is_what_counts(time: Time, limits: Limits) -> None:
    assert refused(limits, {"weight": 20}) is None
    limits.learn({"X-MBX-USED-WEIGHT-1M": "4190"})
    assert refused(limits, {"weight": 20}) == 60
    assert refused(limits, {"weight": 20}, urgent=True) is None  # money does not wait for prices
    limits.learn({"x-mbx-used-weight-1m": "5690"})
    assert refused(limits, {"weight": 20}, urgent=True) == 60
    time.pass_(45)
    assert refused(limits, {"weight": 20}, urgent=True) == 15
    time.pass_(15)
    assert refused(limits, {"weight": 20}) is None
    assert limits.used_percent == 0


def test_calls_without_an_answer_yet_count_as_well(limits: Limits) -> None:
    limits.take({"weight": 4200}, urgent=False)
    assert refused(limits, {"weight": 1}) is not None
    limits.done({"weight": 4200})
    assert refused(limits, {"weight": 1}) is None


def test_orders_and_the_wallet_have_their_own(limits: Limits) -> None:
    limits.configure(recorded("exchange_info")["rateLimits"])
    limits.learn({"X-MBX-ORDER-COUNT-10S": "95", "X-MBX-ORDER-COUNT-1D": "2000"})
    assert refused(limits, {"weight": 1, "order": 1}, urgent=True) == 10
    assert refused(limits, {"weight": 1}) is None
    limits.learn({"X-SAPI-USED-UID-WEIGHT-1M": "179900", "X-SAPI-USED-IP-WEIGHT-1M": "1"})
    assert refused(limits, {"uid": 900}, urgent=True) == 60
    assert refused(limits, {"ip": 10}) is None
    limits.learn({"X-SAPI-USED-UID-WEIGHT-1S": "162000"})
    assert refused(limits, {"history": 18_000}, urgent=True) == 1


def test_headers_that_say_nothing_are_nothing(limits: Limits) -> None:
    limits.learn(
        {
            "X-MBX-USED-WEIGHT-1M": "a lot",
            "X-MBX-USED-WEIGHT": "6000",
            "X-MBX-USED-WEIGHT-7H": "6000",
            "X-MBX-ORDER-COUNT-10S": "²",
            "X-MBX-ORDER-COUNT-1D": "9" * 5000,
        }
    )
    assert limits.used_percent == 0


def test_the_whole_venue_is_left_alone(time: Time, limits: Limits) -> None:
    limits.back_off(7)
    assert refused(limits, {}, urgent=True) == 7
    time.pass_(6.5)
    assert refused(limits, {"ip": 1}) == 1
    time.pass_(0.5)
    assert refused(limits, {}) is None
    assert [_pause(time, limits) for _ in range(4)] == [2, 4, 8, 16]
    limits.served()
    assert _pause(time, limits) == 1


def _pause(time: Time, limits: Limits) -> int:
    """After an answer that names no time."""
    limits.back_off(None)
    waits = limits.waits
    time.pass_(waits)
    return waits


async def test_429_and_418_stop_every_call_and_403_as_well() -> None:
    for status, headers, seconds in (
        (429, {"Retry-After": "3"}, 3),
        (418, {"Retry-After": "120"}, 120),
        (403, {}, 1),
    ):
        answer = (status, {"code": -1003, "msg": "Too much request weight used"}, headers)
        async with stub(api__v3__account=answer) as told, told.adapter() as exchange:
            with pytest.raises(VenueUnavailable) as away:
                await exchange.balances()
            assert away.value.retry_after == seconds
            said = len(told.asked)
            with pytest.raises(VenueUnavailable) as again:
                await exchange.book("ETH-EUR")
            assert again.value.retry_after == seconds
            assert len(told.asked) == said


def test_the_clock_follows_the_venue_and_not_ours(time: Time) -> None:
    wall = [1_800_000_100.0]  # ours is 100 s ahead
    clock = VenueClock(lambda: wall[0], lambda: time.ours)
    assert not clock.is_fresh
    assert clock.now_ms() == 1_800_000_100_000
    started = clock.started()
    time.pass_(0.4)
    wall[0] += 0.4
    clock.measured(started, 1_800_000_000_200)
    # never ahead: what it said counts as said now, though the answer took its time to come
    assert clock.now_ms() == 1_800_000_000_200
    assert clock.offset_ms == -100_000
    wall[0] += 3600  # somebody sets our clock
    time.pass_(10)
    assert clock.now_ms() == 1_800_000_010_200
    assert clock.is_fresh
    time.pass_(MAX_AGE)
    assert not clock.is_fresh
    clock.measured(clock.started(), 1_800_000_100_000)
    assert clock.is_fresh
    clock.forget()
    assert not clock.is_fresh
