"""/v1/policies: drafts, publishing, history, replay; and every refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import clock, ids
from risk import policies
from risk.rules import Request
from tests.integration.api.conftest import NETWORK, World

PATH = "/v1/policies"
DAILY: dict[str, Any] = {
    "name": "daily",
    "effect": "block",
    "amount": {"asset": "USD", "above": "100.00", "window_seconds": 86_400},
}
WHOLE: dict[str, Any] = {
    "default": {"effect": "approve", "approvals": {"needed": 1}},
    "rules": [
        {
            "name": "staff",
            "who": {"initiators": ["key"]},
            "assets": ["USDC"],
            "networks": [NETWORK],
            "destination": "group:staff",
            "hours": {"timezone": "Europe/Berlin", "days": ["mon"], "from": "09:00",
                      "to": "24:00"},
            "effect": "allow",
        },
        DAILY | {"destination": "any"},
    ],
    "deposits": [{"name": "risky", "score": 60, "effect": "hold"}],
}  # fmt: skip


def policy(*rules: dict[str, Any], effect: str = "allow") -> dict[str, Any]:
    return {"default": {"effect": effect}, "rules": list(rules)}


async def put(world: World, document: dict[str, Any], version: int) -> Any:
    return await world.operator("PUT", PATH, json=document | {"version": version})


async def test_from_a_draft_to_a_policy_in_force(world: World) -> None:
    empty = await world.operator.get(PATH)
    assert empty.json == {"object": "policies", "published": None, "draft": None}
    draft = (await put(world, WHOLE, 0)).json
    assert {name: draft[name] for name in WHOLE} == WHOLE
    assert (draft["object"], draft["version"], draft["errors"]) == ("policy_draft", 1, [])
    # `daily` blocks what `staff` allows above its sum; nobody speaks of ETH by others
    assert {w["code"] for w in draft["warnings"]} == {"overlap", "gap"}
    body = {"version": 1, "note": "first"}
    made = await world.operator.post(f"{PATH}/publish", body)
    assert made.status == 201
    assert made.json["id"].startswith("pol_")
    assert {name: made.json[name] for name in WHOLE} == WHOLE
    assert (made.json["version"], made.json["note"]) == (1, "first")
    assert made.json["author"].startswith("key_")
    shown = (await world.operator.get(PATH)).json
    assert (shown["published"], shown["draft"]["version"]) == (made.json, 1)


async def test_history_and_rollback(world: World) -> None:
    for version, document in enumerate((policy(), policy(effect="block"))):
        await put(world, document, version)
        await world.operator.post(f"{PATH}/publish", {"version": version + 1})
    back = await world.operator.post(f"{PATH}/rollback", {"version": 1, "note": "too strict"})
    assert (back.status, back.json["version"]) == (201, 3)
    assert back.json["default"] == {"effect": "allow"}
    page = (await world.operator.get(f"{PATH}/history?limit=2")).json
    assert [p["version"] for p in page["data"]] == [3, 2]
    rest = await world.operator.get(f"{PATH}/history?limit=2&cursor={page['next_cursor']}")
    assert [p["version"] for p in rest.json["data"]] == [1]
    nowhere = await world.operator.post(f"{PATH}/rollback", {"version": 9})
    assert (nowhere.status, nowhere.json["errors"][0]["field"]) == (422, "version")


async def test_nobody_overwrites_or_publishes_unseen(world: World) -> None:
    assert (await world.operator.post(f"{PATH}/publish", {"version": 0})).code == "no_draft"
    assert (await put(world, policy(), 1)).code == "draft_changed"
    await put(world, policy(), 0)
    assert (await put(world, policy(), 0)).code == "draft_changed"
    answer = await world.operator.post(f"{PATH}/publish", {"version": 2})
    assert (answer.status, answer.code) == (409, "draft_changed")


async def test_a_wrong_draft_is_kept_told_and_not_published(world: World) -> None:
    wrong = policy({"name": "a", "effect": "block", "assets": ["DOGE"]})
    draft = (await put(world, wrong, 0)).json
    assert [e["field"] for e in draft["errors"]] == ["rules.0.assets.0"]
    answer = await world.operator.post(f"{PATH}/publish", {"version": 1})
    assert (answer.status, answer.code) == (422, "invalid_policy")
    assert [e["field"] for e in answer.json["errors"]] == ["rules.0.assets.0"]


async def test_validate_keeps_nothing(world: World) -> None:
    odd = policy({"name": "a", "effect": "block"}, {"name": "b", "effect": "allow"})
    answer = await world.operator.post(f"{PATH}/validate", odd)
    assert (answer.status, answer.json["errors"]) == (200, [])
    assert [(w["code"], w["field"]) for w in answer.json["warnings"]] == [
        ("unreachable", "rules.1")
    ]
    assert (await world.operator.get(PATH)).json["draft"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"default": None}, "default"),
        ({"default": {"effect": "maybe"}}, "default.effect"),
        ({"rules": None}, "rules"),
        ({"version": "0"}, "version"),
        ({"version": -1}, "version"),
        ({"more": 1}, "more"),
        ({"rules": [{"effect": "block"}]}, "rules.0.name"),
        ({"rules": [DAILY | {"name": ""}]}, "rules.0.name"),
        ({"rules": [DAILY | {"effect": "hold"}]}, "rules.0.effect"),
        ({"rules": [DAILY | {"destination": "group:"}]}, "rules.0.destination"),
        ({"rules": [DAILY | {"assets": []}]}, "rules.0.assets"),
        ({"rules": [DAILY | {"networks": ["x"]}]}, "rules.0.networks.0"),
        ({"rules": [DAILY | {"who": {"initiators": ["cat"]}}]}, "rules.0.who.initiators.0"),
        ({"rules": [DAILY | {"amount": {"asset": "USD", "above": 5}}]}, "rules.0.amount.above"),
        (
            {"rules": [DAILY | {"amount": {"asset": "USD", "above": "5", "window_seconds": 0}}]},
            "rules.0.amount.window_seconds",
        ),
        ({"rules": [DAILY | {"hours": {"timezone": "UTC", "from": "9"}}]}, "rules.0.hours.from"),
        ({"rules": [DAILY | {"hours": {"timezone": "UTC", "to": "24:01"}}]}, "rules.0.hours.to"),
        ({"rules": [DAILY | {"approvals": {"needed": 0}}]}, "rules.0.approvals.needed"),
        ({"rules": [DAILY] * 201}, "rules"),
        ({"deposits": [{"name": "a", "score": 101, "effect": "hold"}]}, "deposits.0.score"),
        ({"deposits": [{"name": "a", "score": 1, "effect": "allow"}]}, "deposits.0.effect"),
    ],
)
async def test_what_has_no_policys_shape_is_refused(
    world: World, change: dict[str, Any], field: str
) -> None:
    answer = await world.operator("PUT", PATH, json=policy() | {"version": 0} | change)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert field in [e["field"] for e in answer.json["errors"]]


@pytest.mark.parametrize("who", ["operator", "rule"])
async def test_who_never_asks_is_no_condition(world: World, who: str) -> None:
    rule = {"name": "a", "effect": "block", "who": {"initiators": [who]}}
    for method, path, more in (("PUT", PATH, {"version": 0}), ("POST", f"{PATH}/validate", {})):
        answer = await world.operator(method, path, json=policy(rule) | more)
        assert answer.status == 422
        [error] = answer.json["errors"]
        assert error["field"] == "rules.0.who.initiators.0"
        assert "'key' or 'customer'" in error["message"]


async def test_the_draft_against_the_past(world: World) -> None:
    now = world.context.clock.now()
    asked = [
        Request(
            reference=ids.show("pay", ids.new()),
            merchant_id=world.ids["one"],
            network=NETWORK,
            asset="USDC",
            address="0x" + "ab" * 20,
            amount=60 * 10**6,
            house_value=6_000,
            at=now - timedelta(minutes=10 - n),
        )
        for n in range(2)
    ]
    async with world.context.database.begin() as session:
        for one in asked:
            await policies.admit(session, world.context, one)
    assert (await world.operator.post(f"{PATH}/replay", {})).code == "no_draft"
    await put(world, policy(DAILY), 0)
    answer = (await world.operator.post(f"{PATH}/replay", {})).json
    assert (answer["object"], answer["compared"], answer["has_more"]) == (
        "policy_replay",
        2,
        False,
    )
    [difference] = answer["differences"]
    assert difference["reference"] == asked[1].reference
    assert difference["was"] == {
            "effect": "allow", "rule": None, "needed": 0, "approvers": [],
        }  # fmt: skip
    assert (difference["would"]["effect"], difference["would"]["rule"]) == ("block", "daily")
    since = {"since": clock.show(now - timedelta(minutes=9, seconds=30))}
    later = (await world.operator.post(f"{PATH}/replay", since)).json
    assert (later["compared"], later["differences"]) == (1, [])
    swapped = since | {"until": clock.show(now - timedelta(days=1))}
    answer_ = await world.operator.post(f"{PATH}/replay", swapped)
    assert (answer_.status, answer_.json["errors"][0]["field"]) == (422, "since")


async def test_who_may(world: World) -> None:
    reader = await world.key(None, "treasury:read")
    stranger = await world.key(None, "invoices:read")
    body = policy() | {"version": 0}
    for who, status, code in (
        (world.stranger, 401, "unauthorized"),
        (world.one, 403, "forbidden"),
        (stranger, 403, "missing_scope"),
    ):
        for method, path, sent in (
            ("GET", PATH, None),
            ("PUT", PATH, body),
            ("GET", f"{PATH}/history", None),
            ("POST", f"{PATH}/validate", policy()),
            ("POST", f"{PATH}/publish", {"version": 1}),
            ("POST", f"{PATH}/rollback", {"version": 1}),
            ("POST", f"{PATH}/replay", {}),
        ):
            answer = await who(method, path, json=sent)
            assert (answer.status, answer.code) == (status, code), (method, path)
    assert (await reader.get(PATH)).status == 200
    assert (await reader("PUT", PATH, json=body)).code == "missing_scope"
    assert (await reader.post(f"{PATH}/publish", {"version": 0})).code == "missing_scope"


async def test_publishing_twice_with_one_key_happens_once(world: World) -> None:
    await put(world, policy(), 0)
    headers = {"Idempotency-Key": "k"}
    first = await world.operator.post(f"{PATH}/publish", {"version": 1}, headers=headers)
    again = await world.operator.post(f"{PATH}/publish", {"version": 1}, headers=headers)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert len((await world.operator.get(f"{PATH}/history")).json["data"]) == 1
