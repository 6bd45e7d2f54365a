"""/v1/screenings and /v1/approvals: who may see and decide what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from core import ids
from risk import lists
from risk.lists import SAMPLE, Kind
from risk.screening import NewPayout, screen
from tests.integration.api.conftest import NETWORK, World
from tests.unit.risk.test_formats import LAZARUS, YAN

PATH = "/v1/screenings"


async def screened(world: World, address: str, payout: UUID | None = None) -> dict[str, Any]:
    now = world.context.clock.now()
    async with world.context.database.begin() as session:
        await lists.load(session, SAMPLE, name="ofac-sdn", kind=Kind.SANCTIONS, now=now)
        one = NewPayout(
            id=payout or ids.new(),
            merchant_id=world.ids["one"],
            network=NETWORK,
            address=address,
        )
        verdict = (await screen(session, world.context, [one], now))[one.id]
    assert verdict.screening is not None
    answer = await world.operator.get(f"{PATH}/{ids.show('scr', verdict.screening)}")
    shown: dict[str, Any] = answer.json
    return shown


async def test_what_is_shown(world: World) -> None:
    payout = ids.new()
    shown = await screened(world, LAZARUS, payout)
    del shown["id"], shown["created_at"], shown["updated_at"]
    assert shown == {
        "object": "screening",
        "subject": ids.show("pay", payout),
        "merchant": ids.show("mer", world.ids["one"]),
        "network": NETWORK,
        "address": "0x098B716B8Aaf21512996dC57EB0615e2383E2f96",
        "status": "done",
        "verdict": "reject",
        "score": None,
        "reasons": [
            {
                "code": "sanctioned_address",
                "source": "ofac-sdn",
                "detail": "LAZARUS GROUP [DPRK3]",
            }
        ],
        "evidence": {
            "lists": [
                {
                    "list": "ofac-sdn",
                    "kind": "sanctions",
                    "uid": "1",
                    "name": "LAZARUS GROUP",
                    "programs": ["DPRK3"],
                    "currencies": ["ETH"],
                }
            ]
        },
        "decision": None,
    }


async def test_filters(world: World) -> None:
    bad, other = await screened(world, LAZARUS), await screened(world, YAN)
    good = await screened(world, "0x" + "ab" * 20)

    async def found(query: str) -> list[str]:
        return [s["id"] for s in (await world.operator.get(f"{PATH}?{query}")).json["data"]]

    assert await found("") == [good["id"], other["id"], bad["id"]]
    assert await found(f"address={bad['address']}") == [bad["id"]]
    assert await found("verdict=accept") == [good["id"]]
    assert await found("status=done&verdict=reject") == [other["id"], bad["id"]]
    assert await found("status=pending") == []
    assert await found(f"limit=1&cursor={other['id']}") == [bad["id"]]
    for query in ("verdict=maybe", "status=x", "limit=0"):
        assert (await world.operator.get(f"{PATH}?{query}")).status == 422


async def test_a_person_decides(world: World) -> None:
    shown = await screened(world, LAZARUS)
    path = f"{PATH}/{shown['id']}/decide"
    decided = await world.operator.post(path, {"verdict": "accept", "reason": "delisted"})
    assert (decided.status, decided.json["verdict"]) == (200, "accept")
    assert decided.json["decision"]["reason"] == "delisted"
    assert decided.json["decision"]["by"].startswith("key_")
    assert decided.json["reasons"] == shown["reasons"]
    again = await world.operator.post(path, {"verdict": "accept", "reason": "once more"})
    assert again.json == decided.json
    answer = await world.operator.post(path, {"verdict": "reject", "reason": "no"})
    assert (answer.status, answer.code) == (409, "already_decided")
    good = await screened(world, "0x" + "ab" * 20)
    answer = await world.operator.post(
        f"{PATH}/{good['id']}/decide", {"verdict": "reject", "reason": "no"}
    )
    assert (answer.status, answer.code) == (409, "not_held")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"verdict": "hold", "reason": "x"}, "verdict"),
        ({"verdict": "accept"}, "reason"),
        ({"verdict": "accept", "reason": ""}, "reason"),
        ({"verdict": "accept", "reason": "x", "more": 1}, "more"),
    ],
)
async def test_each_wrong_field(world: World, body: dict[str, Any], field: str) -> None:
    shown = await screened(world, LAZARUS)
    answer = await world.operator.post(f"{PATH}/{shown['id']}/decide", body)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)


async def test_who_may(world: World) -> None:
    shown = await screened(world, LAZARUS)
    reader = await world.key(None, "treasury:read")
    body = {"verdict": "accept", "reason": "x"}
    for who, status in ((world.stranger, 401), (world.one, 403)):
        assert (await who.get(PATH)).status == status
        assert (await who.get(f"{PATH}/{shown['id']}")).status == status
        assert (await who.post(f"{PATH}/{shown['id']}/decide", body)).status == status
    assert (await reader.get(PATH)).status == 200
    assert (await reader.post(f"{PATH}/{shown['id']}/decide", body)).code == "missing_scope"
    for unknown in ("scr_00000000000000000000000000", "pay_x", "x"):
        assert (await world.operator.get(f"{PATH}/{unknown}")).code == "not_found"


async def test_approvals_are_listed_for_operators(world: World) -> None:
    assert (await world.operator.get("/v1/approvals?status=requested")).json["data"] == []
    assert (await world.operator.get("/v1/approvals?status=x")).status == 422
    assert (await world.one.get("/v1/approvals")).code == "forbidden"
    assert (await world.stranger.get("/v1/approvals")).status == 401
    for who in (world.one, world.operator):
        answer = await who.get("/v1/approvals/apr_00000000000000000000000000")
        assert (answer.status, answer.code) == (404, "not_found")
