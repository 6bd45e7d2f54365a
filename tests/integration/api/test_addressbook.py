"""/v1/addressbook: an operator writes it for each merchant; and each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from core import ids
from core.context import RiskSettings
from tests.integration.api.conftest import CATALOG, NETWORK, USDC, World

PATH = "/v1/addressbook"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def entry(world: World, who: str = "one", **more: Any) -> dict[str, Any]:
    return {"address": BOB, "label": "Bob", "merchant": ids.show("mer", world.ids[who])} | more


async def test_an_entry_from_cooling_to_history(world: World) -> None:
    world.context.risk = RiskSettings(cooling=3600)
    made = await world.operator.post(PATH, entry(world, network=NETWORK, group="staff"))
    assert made.status == 201
    shown = made.json
    assert shown["id"].startswith("adb_")
    assert {k: shown[k] for k in ("object", "address", "label", "group", "network", "status")} == {
        "object": "address_book_entry",
        "address": BOB,
        "label": "Bob",
        "group": "staff",
        "network": NETWORK,
        "status": "cooling",
    }
    assert shown["merchant"] == ids.show("mer", world.ids["one"])
    world.context.risk = RiskSettings(cooling=0)
    general = (await world.operator.post(PATH, entry(world))).json
    assert (general["status"], general["network"]) == ("usable", None)
    assert (await world.operator.get(f"{PATH}/{shown['id']}")).json == shown
    gone = await world.operator("DELETE", f"{PATH}/{shown['id']}")
    assert (gone.status, gone.json["status"]) == (200, "removed")
    assert gone.json["removed_at"] is not None
    listed = (await world.operator.get(f"{PATH}?address={BOB}")).json["data"]
    assert [e["id"] for e in listed] == [general["id"]]
    history = (await world.operator.get(f"{PATH}?removed=true")).json["data"]
    assert [e["id"] for e in history] == [general["id"], shown["id"]]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("bob.eth", "not_an_address"),
        (BOB[:-1] + "8", "wrong_checksum"),
        ("0x" + "0" * 40, "zero_address"),
        ("0x" + "0" * 39 + "1", "precompile"),
        ("0x" + "0" * 36 + "dead", "burn_address"),
        (CATALOG.networks[NETWORK].factory, "own_address"),
        (USDC, "token_contract"),
        (CATALOG.networks[NETWORK].multicall, "system_contract"),
    ],
)
async def test_where_money_must_not_go(world: World, address: str, code: str) -> None:
    answer = await world.operator.post(PATH, entry(world, address=address))
    assert (answer.status, answer.code) == (422, code)
    assert [e["field"] for e in answer.json["errors"]] == ["address"]


async def test_a_deposit_address_of_ours_is_refused(world: World) -> None:
    made = await world.one.post("/v1/invoices", {"amount": "5.00", "currency": "USD"})
    ours = made.json["payment_options"][0]["address"]
    assert (
        await world.operator.post(PATH, entry(world, "two", address=ours))
    ).code == "own_address"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": None}, "address"),
        ({"label": ""}, "label"),
        ({"group": ""}, "group"),
        ({"network": "x"}, "network"),
        ({"network": "eip155:9"}, "network"),
        ({"more": 1}, "more"),
        ({"address": 7}, "address"),
        ({"merchant": None}, "merchant"),
        ({"merchant": "x"}, "merchant"),
        ({"merchant": "mer_01h455vb4pex5vsknk084sn02q"}, "merchant"),
    ],
)
async def test_each_wrong_field(world: World, change: dict[str, Any], field: str) -> None:
    answer = await world.operator.post(PATH, entry(world, **change))
    assert answer.status == 422
    assert [e["field"] for e in answer.json["errors"]] == [field]


async def test_the_same_address_twice(world: World) -> None:
    await world.operator.post(PATH, entry(world))
    answer = await world.operator.post(PATH, entry(world, address=BOB.lower()))
    assert (answer.status, answer.code) == (409, "already_known")
    assert (await world.operator.post(PATH, entry(world, "two"))).status == 201


async def test_each_merchant_has_its_own(world: World) -> None:
    made = (await world.operator.post(PATH, entry(world))).json
    one, two = (ids.show("mer", world.ids[who]) for who in ("one", "two"))
    assert made["merchant"] == one
    assert (await world.operator.get(f"{PATH}?merchant={one}")).json["data"] == [made]
    assert (await world.operator.get(f"{PATH}?merchant={two}")).json["data"] == []
    assert (await world.operator.get(PATH)).json["data"] == [made]
    for method in ("GET", "DELETE"):
        answer = await world.operator(method, f"{PATH}/adb_00000000000000000000000000")
        assert (answer.status, answer.code) == (404, "not_found")


async def test_a_merchants_key_neither_reads_nor_writes(world: World) -> None:
    """Whoever stole it could make his own address a known one."""
    made = (await world.operator.post(PATH, entry(world))).json
    for method, path, body in (
        ("GET", PATH, None),
        ("POST", PATH, entry(world)),
        ("GET", f"{PATH}/{made['id']}", None),
        ("DELETE", f"{PATH}/{made['id']}", None),
    ):
        answer = await world.one(method, path, json=body)
        assert (answer.status, answer.code) == (403, "forbidden"), (method, path)
        assert (await world.stranger(method, path, json=body)).status == 401
    assert (await world.operator.get(f"{PATH}/{made['id']}")).json == made


async def test_scopes(world: World) -> None:
    reader = await world.key(None, "payouts:read")
    other = await world.key(None, "invoices:write")
    assert (await reader.get(PATH)).status == 200
    assert (await reader.post(PATH, entry(world))).code == "missing_scope"
    assert (await other.get(PATH)).code == "missing_scope"
