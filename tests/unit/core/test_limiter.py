from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.limiter import Limiter


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_steady_rate() -> None:
    watch = Watch()
    limiter = Limiter(2, 3, watch)
    assert [limiter.take("a").remaining for _ in range(3)] == [2, 1, 0]
    refused = limiter.take("a")
    assert (refused.allowed, refused.retry_after, refused.reset) == (False, 1, 2)
    watch.now += 0.5
    assert limiter.take("a").allowed
    assert not limiter.take("a").allowed


def test_a_refused_request_costs_nothing() -> None:
    watch = Watch()
    limiter = Limiter(1, 1, watch)
    limiter.take("a")
    for _ in range(100):
        assert not limiter.take("a").allowed
    watch.now += 1
    assert limiter.take("a").allowed


def test_askers_do_not_share() -> None:
    limiter = Limiter(1, 1, Watch())
    assert limiter.take("a").allowed
    assert limiter.take(("visitor", "b")).allowed
    assert not limiter.take("a").allowed


def test_full_buckets_are_forgotten_and_used_ones_are_not() -> None:
    watch = Watch()
    limiter = Limiter(1, 2, watch)
    for n in range(9_998):
        limiter.take(n)
    watch.now += 5
    limiter.take("used")
    limiter.take("used")
    limiter.take("another")  # the ten-thousandth: sweeps
    assert len(limiter._full_at) == 2
    assert not limiter.take("used").allowed


@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.lists(st.floats(0, 0.2, allow_nan=False), max_size=200),
)
def test_never_more_than_burst_and_rate_allow(rate: int, burst: int, waits: list[float]) -> None:
    watch = Watch()
    limiter = Limiter(rate, burst, watch)
    taken = 0
    for wait in waits:
        watch.now += wait
        allowance = limiter.take("a")
        taken += allowance.allowed
        assert taken <= burst + rate * (watch.now - 1000) + 1e-6
        assert 0 <= allowance.remaining < burst
        if not allowance.allowed:
            assert allowance.retry_after >= 1
