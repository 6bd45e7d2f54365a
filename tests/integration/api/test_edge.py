"""Ids, refusals and documents: what holds for every path."""

from __future__ import annotations

from tests.integration.api.conftest import World


async def test_an_unknown_path_is_a_problem(world: World) -> None:
    answer = await world.stranger.get("/v1/nothing")
    assert (answer.status, answer.code) == (404, "not_found")
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
