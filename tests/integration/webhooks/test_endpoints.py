"""Endpoints over HTTP: secrets shown once, isolation, switching off, sending again."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from standardwebhooks import Webhook

from core import ids
from core.clock import show
from tests.integration.api.conftest import World
from tests.integration.webhooks.conftest import (
    Receiver,
    delivering,
    move,
    receiving,
    rows,
    says,
    tell,
    until,
)
from webhooks import endpoints, sequence

PENDING = "select count(*) from deliveries where status = 'pending'"
PATH = "/v1/webhook_endpoints"


async def made(world: World, url: str, *events: str) -> dict[str, Any]:
    answer = await world.one.post(PATH, {"url": url, "events": list(events or ["*"])})
    assert answer.status == 201, answer.body
    shown: dict[str, Any] = answer.json
    return shown


async def test_the_secret_is_shown_once_and_kept_sealed(world: World) -> None:
    endpoint = await made(world, "https://shop.example/hook")
    assert endpoint["secret"].startswith("whsec_")
    assert (endpoint["object"], endpoint["status"], endpoint["events"]) == (
        "webhook_endpoint",
        "enabled",
        ["*"],
    )
    for path in (PATH, f"{PATH}/{endpoint['id']}"):
        assert b"whsec" not in (await world.one.get(path)).body
    [(sealed,)] = await rows(world.context, "select secret from webhook_endpoints")
    assert endpoint["secret"].encode() not in sealed
    rotated = await world.one.post(f"{PATH}/{endpoint['id']}/rotate")
    assert rotated.status == 200
    assert rotated.json["secret"] not in (endpoint["secret"], "")


async def test_a_repeated_creation_shows_the_same_secret_and_stores_it_sealed(world: World) -> None:
    body = {"url": "https://shop.example/hook"}
    headers = {"Idempotency-Key": "one"}
    first = await world.one.post(PATH, body, headers=headers)
    second = await world.one.post(PATH, body, headers=headers)
    assert first.body == second.body
    assert second.headers["Idempotency-Replayed"] == "true"
    [(stored,)] = await rows(world.context, "select body from idempotency_keys")
    assert b"whsec" not in stored
    assert await rows(world.context, "select count(*) from webhook_endpoints") == [(1,)]


async def test_what_is_refused(world: World) -> None:
    for body in (
        {"url": "https://127.0.0.1/"},
        {"url": "http://shop.example/"},
        {"url": "https://shop.example/", "events": []},
        {"url": "https://shop.example/", "events": ["invoice"]},
        {"url": "https://shop.example/", "events": ["*.*"]},
        {"url": "https://shop.example/", "events": ["invoice.setled"]},
        {"url": "https://shop.example/", "secret": "whsec_mine"},
        {"events": ["*"]},
    ):
        answer = await world.one.post(PATH, body)
        assert answer.status == 422, body
        assert answer.json["errors"]
    assert (await world.operator.post(PATH, {"url": "https://shop.example/"})).status == 403
    endpoint = await made(world, "http://127.0.0.1:1/hook")
    patched = await world.one("PATCH", f"{PATH}/{endpoint['id']}", json={"url": "https://10.0.0.1"})
    assert patched.status == 422


async def test_another_merchants_endpoint_is_not_there(world: World) -> None:
    endpoint = await made(world, "https://shop.example/hook")
    path = f"{PATH}/{endpoint['id']}"
    window = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}
    for answer in (
        await world.two.get(path),
        await world.two("PATCH", path, json={"status": "disabled"}),
        await world.two("DELETE", path),
        await world.two.post(f"{path}/rotate"),
        await world.two.get(f"{path}/deliveries"),
        await world.two.post(f"{path}/replay", window),
        await world.two.get(f"{PATH}/{ids.show('whe', ids.new())}"),
        await world.two.get(f"{PATH}/nonsense"),
    ):
        assert (answer.status, answer.code) == (404, "not_found")
    assert (await world.two.get(PATH)).json["data"] == []
    assert (await world.one.get(path)).json["status"] == "enabled"


async def test_switched_off_nothing_is_sent_and_nothing_waits(
    world: World, receiver: Receiver
) -> None:
    endpoint = await made(world, receiver.url)
    path = f"{PATH}/{endpoint['id']}"
    await tell(world.context, world.ids["one"], "inv_1")
    off = await world.one("PATCH", path, json={"status": "disabled"})
    assert off.json["disabled_reason"] == "disabled by the merchant"
    await tell(world.context, world.ids["one"], "inv_2")
    on = await world.one("PATCH", path, json={"status": "enabled", "events": ["invoice.*"]})
    assert (on.json["status"], on.json["disabled_reason"]) == ("enabled", None)
    await tell(world.context, world.ids["one"], "inv_3", kind="invoice.settled")
    async with delivering(world.context):
        [got] = await receiver.gets(1)
        await until(world.context, PENDING, 0)
    assert '"inv_3"' in got.body
    log = (await world.one.get(f"{path}/deliveries")).json["data"]
    assert [(d["status"], len(d["attempts"])) for d in log] == [("delivered", 1), ("disabled", 0)]
    gone = await world.one("DELETE", path)
    assert gone.json == {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}
    assert (await world.one.get(path)).status == 404
    await tell(world.context, world.ids["one"], "inv_4")
    assert await rows(world.context, PENDING) == [(0,)]


async def test_redeliver_sends_the_same_event_again(world: World, receiver: Receiver) -> None:
    endpoint = await made(world, receiver.url)
    async with receiving() as other, delivering(world.context):
        second = await made(world, other.url, "payout.*")
        await tell(world.context, world.ids["one"], "inv_1")
        [first] = await receiver.gets(1)
        await until(world.context, PENDING, 0)  # one under way is not doubled
        answer = await world.one.post(f"/v1/events/{first.id}/redeliver")
        log = (await world.one.get(f"{PATH}/{endpoint['id']}/deliveries")).json["data"]
        assert answer.status == 202
        assert answer.json == {
            "id": first.id,
            "object": "webhook_redelivery",
            "event": first.id,
            "deliveries": 1,
            "delivery_ids": [log[0]["id"]],
            "created_at": log[0]["created_at"],
        }
        again = (await receiver.gets(2))[1]
        assert (again.id, again.body) == (first.id, first.body)
        Webhook(endpoint["secret"]).verify(again.body, again.headers)
        # by name also to one that does not listen to it
        path = f"/v1/events/{first.id}/redeliver"
        assert (await world.one.post(path, {"endpoint": second["id"]})).json["deliveries"] == 1
        assert (await other.gets(1))[0].id == first.id
        await world.one("PATCH", f"{PATH}/{second['id']}", json={"status": "disabled"})
        refused = await world.one.post(path, {"endpoint": second["id"]})
        assert (refused.status, refused.code) == (409, "endpoint_disabled")
        unknown = await world.one.post(path, {"endpoint": ids.show("whe", ids.new())})
        assert unknown.status == 404


async def test_redeliver_brings_a_waiting_retry_forward(world: World, receiver: Receiver) -> None:
    receiver.answer = says(503, retry_after="3600")
    await made(world, receiver.url)
    async with delivering(world.context):
        await tell(world.context, world.ids["one"], "inv_1")
        [first] = await receiver.gets(1)
        await until(world.context, "select max(attempts) from deliveries", 1)
        receiver.answer = says(200)
        [waiting] = await rows(world.context, "select id from deliveries")
        answer = await world.one.post(f"/v1/events/{first.id}/redeliver")
        assert answer.json["delivery_ids"] == [ids.show("dlv", waiting[0])]
        await receiver.gets(2)
        await until(world.context, PENDING, 0)
    assert await rows(world.context, "select attempts, status from deliveries") == [
        (2, "delivered")
    ]


async def test_replay_sends_a_window_again_in_order(world: World, receiver: Receiver) -> None:
    context, shop = world.context, world.ids["one"]
    bounds = []
    for n in range(6):
        bounds.append(show(context.clock.now()))
        move(context, 60)
        await tell(context, shop, f"inv_{n}", kind="invoice.created" if n != 3 else "other.kind")
        await tell(context, world.ids["two"], f"foreign_{n}", kind="invoice.created")
    endpoint = await made(world, receiver.url, "invoice.*")
    path = f"{PATH}/{endpoint['id']}/replay"
    window = {"since": bounds[1], "until": bounds[5]}
    assert (await world.one.post(path, window)).json["events"] == 0  # nothing has its number yet
    await sequence.number_pending(context.database)
    answer = await world.one.post(path, window)
    assert (answer.status, answer.json["events"]) == (202, 3)
    log = (await world.one.get(f"{PATH}/{endpoint['id']}/deliveries")).json["data"]
    assert [d["id"] for d in log] == answer.json["delivery_ids"][::-1]
    assert answer.json["id"] == endpoint["id"]
    assert answer.json["created_at"] == log[0]["created_at"]
    async with delivering(context, per_endpoint=1):
        await receiver.gets(3)
        await until(context, PENDING, 0)
        sent = [json.loads(got.body) for got in receiver.received]
        assert [event["data"]["object"]["id"] for event in sent] == ["inv_1", "inv_2", "inv_4"]
        assert [event["id"] for event in sent] == [got.id for got in receiver.received]
    wrong = await world.one.post(path, {"since": bounds[5], "until": bounds[1]})
    assert wrong.status == 422
    for moment in ("0001-01-01T00:00:00+23:00", "tomorrow", 5, None):
        assert (await world.one.post(path, {**window, "since": moment})).status == 422


async def test_an_invoices_url_reuses_an_endpoint_of_all(world: World) -> None:
    context, shop = world.context, world.ids["one"]
    endpoint = await made(world, "https://shop.example/hook", "deposit.*")

    async def for_url(url: str) -> UUID:
        async with context.database.begin() as session:
            return await endpoints.for_url(session, context, shop, url, context.clock.now())

    assert ids.show("whe", await for_url("https://shop.example/hook")) == endpoint["id"]
    own = await for_url("https://shop.example/other")
    await world.one("PATCH", f"{PATH}/{ids.show('whe', own)}", json={"status": "disabled"})
    assert await for_url("https://shop.example/other") == own
    assert await rows(
        context, "select status, per_invoice from webhook_endpoints where id = %s", own
    ) == [("enabled", True)]
