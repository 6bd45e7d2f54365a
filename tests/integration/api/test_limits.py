"""Rate limits: each key has its own, and every answer says what is left."""

from __future__ import annotations

import pytest

from core.context import Limits
from tests.integration.api.conftest import World

BURST = 5


@pytest.fixture
def limits() -> Limits:
    return Limits(key_per_second=1, key_burst=BURST)


async def test_a_key_that_asks_too_often_waits(world: World) -> None:
    answers = [await world.one.get("/v1/deposits") for _ in range(BURST)]
    assert [a.status for a in answers] == [200] * BURST
    assert [a.headers["RateLimit-Limit"] for a in answers] == ["5"] * BURST
    assert [int(a.headers["RateLimit-Remaining"]) for a in answers] == [4, 3, 2, 1, 0]
    refused = await world.one.get("/v1/deposits")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert 4 <= int(refused.headers["RateLimit-Reset"]) <= 5


async def test_another_key_is_not_held_up(world: World) -> None:
    for _ in range(BURST + 1):
        await world.one.get("/v1/deposits")
    assert (await world.two.get("/v1/deposits")).status == 200


async def test_refused_scopes_count_too(world: World) -> None:
    client = await world.key("one", "ledger:read")
    answers = [await client.get("/v1/deposits") for _ in range(BURST + 1)]
    assert [a.status for a in answers] == [403] * BURST + [429]


async def test_wrong_keys_are_counted_by_address(world: World) -> None:
    answers = [await world.client(f"sk_{n}").get("/v1/deposits") for n in range(BURST + 1)]
    assert [a.status for a in answers] == [401] * BURST + [429]
    assert (await world.one.get("/v1/deposits")).status == 200


async def test_health_is_never_limited(world: World) -> None:
    answers = [await world.stranger.get("/healthz") for _ in range(3 * BURST)]
    assert {a.status for a in answers} == {200}
