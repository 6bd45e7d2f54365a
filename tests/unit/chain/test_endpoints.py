"""Scores, quarantine and return, on a clock of the test's own."""

from __future__ import annotations

from chain.endpoints import Endpoints
from core.errors import EndpointFailed
from core.money import crypto
from core.networks import NATIVE, Network, Token


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(*urls: str) -> tuple[Endpoints, Clock]:
    clock = Clock()
    network = Network(
        id="eip155:1", chain_id=1, name="", rpc_urls=urls, block_seconds=12, poll_ms=1,
        tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
    )  # fmt: skip
    return Endpoints(network, clock=clock), clock


def names(endpoints: Endpoints) -> list[str]:
    return [e.name for e in endpoints.ranked()]


BROKEN = EndpointFailed("x")


def test_the_configured_order_decides_among_equals() -> None:
    endpoints, _ = made("http://a", "http://b")
    assert names(endpoints) == ["a", "b"]


def test_an_error_costs_the_first_place_for_a_while() -> None:
    endpoints, clock = made("http://a", "http://b")
    endpoints.failed(endpoints.all[0], BROKEN)
    assert names(endpoints) == ["b", "a"]
    assert endpoints.all[0].score == 80
    clock.now += 60
    assert endpoints.all[0].score == 90
    clock.now += 300
    assert names(endpoints) == ["a", "b"]


def test_a_lagging_endpoint_goes_last() -> None:
    endpoints, _ = made("http://a", "http://b")
    a, b = endpoints.all
    endpoints.saw_head(a, 100)
    endpoints.saw_head(b, 103)
    assert (a.lag, a.score, b.score) == (3, 85, 100)
    assert names(endpoints) == ["b", "a"]
    endpoints.saw_head(a, 103)
    assert names(endpoints) == ["a", "b"]


def test_quarantine_doubles_until_it_works_again() -> None:
    endpoints, clock = made("http://a", "http://b")
    a = endpoints.all[0]
    for _ in range(3):
        endpoints.failed(a, BROKEN)
    assert a.quarantined
    assert names(endpoints) == ["b"]
    clock.now += 2
    assert not a.quarantined
    endpoints.failed(a, BROKEN)  # one failure after its return is enough
    clock.now += 3.9
    assert a.quarantined
    clock.now += 0.2
    assert not a.quarantined
    endpoints.succeeded(a)
    endpoints.failed(a, BROKEN)
    assert not a.quarantined
    for _ in range(20):
        endpoints.failed(a, BROKEN)
    clock.now += 300
    assert not a.quarantined


def test_if_all_are_quarantined_the_one_due_first_is_asked() -> None:
    endpoints, clock = made("http://a", "http://b")
    for endpoint in reversed(endpoints.all):
        for _ in range(3):
            endpoints.failed(endpoint, BROKEN)
        clock.now += 0.5
    assert names(endpoints) == ["b"]


def test_people_see_hosts_only() -> None:
    endpoints, _ = made("https://user:pw@node.example/v3/secret?key=secret")
    a = endpoints.all[0]
    for _ in range(3):
        endpoints.failed(a, BROKEN)
    [health] = endpoints.snapshot()
    assert health.url_host == "node.example"
    assert "secret" not in repr(health)
    assert health.errors == 3
    assert health.quarantined_until is not None
    assert health.quarantined_until.tzinfo is not None
