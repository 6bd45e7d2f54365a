"""The short way of a plain request: it answers what the framework's way would."""

from __future__ import annotations

import json

from fastapi.routing import APIRoute

from api.direct import Direct
from api.invoices import router
from tests.integration.api.conftest import World

PATH = "/v1/invoices"
BODY = json.dumps({"amount": "25.00", "currency": "USD"}).encode()
PLAIN = {"Content-Type": "application/json"}
# Goes the framework's way: it is left to read what stands beside the type.
LONGER = {"Content-Type": "application/json; charset=utf-8"}


def test_creating_and_reading_are_direct() -> None:
    direct = {
        (route.path, method)
        for route in router.routes
        if isinstance(route, Direct) and route.is_direct
        for method in route.methods or ()
    }
    assert {(PATH, "POST"), (PATH + "/{invoice}", "GET")} <= direct
    assert (PATH, "GET") not in direct  # it takes a query
    assert all(isinstance(route, APIRoute) for route in router.routes)


async def test_both_ways_do_the_same(world: World) -> None:
    shown = []
    for headers in (PLAIN, LONGER):
        answer = await world.one("POST", PATH, data=BODY, headers=headers)
        assert answer.status == 201
        assert answer.headers["x-request-id"]
        assert answer.headers["ratelimit-limit"]
        shown.append(answer.json)
    assert shown[0].keys() == shown[1].keys()
    assert shown[0]["payment_options"][0].keys() == shown[1]["payment_options"][0].keys()


async def test_both_ways_refuse_the_same(world: World) -> None:
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"amount": 25, "currency": "USD"}',
        b'{"amount": "25.00", "currency": "USD", "expires_in": 900.0}',
        b'{"amount": "25.00", "currency": "USD", "more": NaN}',
        b'{"amount": "-1", "currency": "USD"}',
    ]
    callers = (world.one, world.operator, world.client("sk_unknown"), world.stranger)
    for body in bodies:
        for caller in callers:
            told = []
            for headers in (PLAIN, LONGER):
                answer = await caller("POST", PATH, data=body, headers=headers)
                told.append((answer.status, answer.json | {"request_id": None}))
            assert told[0] == told[1], body
            assert told[0][0] in (400, 401, 403, 422)


async def test_who_asks_comes_before_what(world: World) -> None:
    reader = await world.key("one", "invoices:read")
    assert (await world.stranger("POST", PATH, data=BODY, headers=PLAIN)).status == 401
    refused = await reader("POST", PATH, data=BODY, headers=PLAIN)
    assert (refused.status, refused.code) == (403, "missing_scope")
    made = await world.one("POST", PATH, data=BODY, headers=PLAIN)
    shown = f"{PATH}/{made.json['id']}"
    assert (await reader.get(shown)).json == made.json
    assert (await world.two.get(shown)).status == 404
    assert (await world.stranger.get(shown)).status == 401
    assert (await world.one("PUT", shown)).status == 405


async def test_a_refused_body_takes_one_request_of_the_allowance(world: World) -> None:
    caller = await world.key("one", "*")
    before = await caller("POST", PATH, data=BODY, headers=PLAIN)
    after = await caller("POST", PATH, data=b"{}", headers=PLAIN)
    spent = int(before.headers["ratelimit-remaining"]) - int(after.headers["ratelimit-remaining"])
    assert (after.status, spent <= 1) == (422, True)


async def test_a_key_without_a_json_body_is_compared_as_it_came(world: World) -> None:
    made = await world.one("POST", PATH, data=BODY, headers=PLAIN)
    path = f"{PATH}/{made.json['id']}/cancel"
    key = {"Idempotency-Key": "k"}
    first = await world.one("POST", path, data=b"no json", headers=key)
    again = await world.one("POST", path, data=b"no json", headers=key)
    other = await world.one("POST", path, data=b"nor this", headers=key)
    assert (first.status, again.body, other.code) == (200, first.body, "idempotency_mismatch")
