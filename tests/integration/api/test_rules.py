"""Rules over HTTP: operators only, made, read and ended."""

from __future__ import annotations

from core import ids
from tests.integration.api.conftest import World

RULE = {"asset": "ETH", "to": "EUR", "share_percent": "50", "minimum": "0.1"}


async def test_made_read_and_ended(world: World) -> None:
    operator = await world.key(None, "treasury:read", "treasury:write")
    asked = RULE | {"schedule": "0 6 * * 1-5", "daily_limit": "10"}
    made = await operator.post("/v1/treasury/rules", asked, headers={"Idempotency-Key": "one"})
    assert made.status == 201, made.body
    rule = made.json
    assert rule["id"].startswith("rul_")
    shown = {name: rule[name] for name in (*asked, "of", "status", "dry_run", "threshold")}
    assert shown == asked | {
        "of": "settled", "status": "active", "dry_run": False, "threshold": None,
    }  # fmt: skip
    again = await operator.post("/v1/treasury/rules", asked, headers={"Idempotency-Key": "one"})
    assert again.json == rule
    assert (await operator.get("/v1/treasury/rules")).json["data"] == [rule]
    path = f"/v1/treasury/rules/{rule['id']}"
    assert (await operator.get(path)).json == rule
    ended = await operator("DELETE", path)
    assert (ended.status, ended.json["status"], ended.json["next_at"]) == (200, "ended", None)
    assert (await operator("DELETE", path)).json == ended.json
    unknown = await operator.get(f"/v1/treasury/rules/{ids.show('rul', ids.new())}")
    assert (unknown.status, unknown.code) == (404, "not_found")


async def test_refusals_and_who_may(world: World) -> None:
    operator = await world.key(None, "treasury:read", "treasury:write")
    for asked, field in (
        (RULE | {"schedule": "hourly"}, "schedule"),
        (RULE | {"threshold": "1"}, "threshold"),
        (RULE | {"share_percent": "101"}, "share_percent"),
        (RULE | {"minimum": 1}, "minimum"),
        (RULE | {"of": "gold"}, "of"),
    ):
        refused = await operator.post("/v1/treasury/rules", asked)
        assert refused.status == 422, refused.body
        assert [one["field"] for one in refused.json["errors"]] == [field]
    set_aside = RULE | {"of": "fiat_at_fill", "share_percent": "100"}
    assert (await operator.post("/v1/treasury/rules", set_aside)).status == 201
    second = await operator.post("/v1/treasury/rules", set_aside)
    assert (second.status, second.code) == (409, "rule_exists")
    reader = await world.key(None, "treasury:read")
    assert (await reader.post("/v1/treasury/rules", RULE)).status == 403
    assert (await world.one.get("/v1/treasury/rules")).status == 403
