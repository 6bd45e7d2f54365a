"""/v1/addressbook: a merchant's own, and each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from core import ids
from core.context import RiskSettings
from tests.integration.api.conftest import CATALOG, NETWORK, USDC, World

PATH = "/v1/addressbook"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def entry(**more: Any) -> dict[str, Any]:
    return {"address": BOB, "label": "Bob"} | more


async def test_an_entry_from_cooling_to_history(world: World) -> None:
    world.context.risk = RiskSettings(cooling=3600)
    made = await world.one.post(PATH, entry(network=NETWORK, group="staff"))
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
    general = (await world.one.post(PATH, entry())).json
    assert (general["status"], general["network"]) == ("usable", None)
    assert (await world.one.get(f"{PATH}/{shown['id']}")).json == shown
    gone = await world.one("DELETE", f"{PATH}/{shown['id']}")
    assert (gone.status, gone.json["status"]) == (200, "removed")
    assert gone.json["removed_at"] is not None
    listed = (await world.one.get(f"{PATH}?address={BOB}")).json["data"]
    assert [e["id"] for e in listed] == [general["id"]]
    history = (await world.one.get(f"{PATH}?removed=true")).json["data"]
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
    answer = await world.one.post(PATH, entry(address=address))
    assert (answer.status, answer.code) == (422, code)
    assert [e["field"] for e in answer.json["errors"]] == ["address"]


async def test_a_deposit_address_of_ours_is_refused(world: World) -> None:
    made = await world.one.post("/v1/invoices", {"amount": "5.00", "currency": "USD"})
    ours = made.json["payment_options"][0]["address"]
    assert (await world.two.post(PATH, entry(address=ours))).code == "own_address"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"label": "Bob"}, "address"),
        (entry(label=""), "label"),
        (entry(group=""), "group"),
        (entry(network="x"), "network"),
        (entry(network="eip155:9"), "network"),
        (entry(more=1), "more"),
        (entry(address=7), "address"),
    ],
)
async def test_each_wrong_field(world: World, body: dict[str, Any], field: str) -> None:
    answer = await world.one.post(PATH, body)
    assert answer.status == 422
    assert [e["field"] for e in answer.json["errors"]] == [field]


async def test_the_same_address_twice(world: World) -> None:
    await world.one.post(PATH, entry())
    answer = await world.one.post(PATH, entry(address=BOB.lower()))
    assert (answer.status, answer.code) == (409, "already_known")
    assert (await world.two.post(PATH, entry())).status == 201


async def test_nobody_sees_anothers(world: World) -> None:
    mine = (await world.one.post(PATH, entry())).json
    path = f"{PATH}/{mine['id']}"
    for method in ("GET", "DELETE"):
        answer = await world.two(method, path)
        nobody = await world.two(method, f"{PATH}/adb_00000000000000000000000000")
        assert (answer.status, answer.code) == (nobody.status, nobody.code) == (404, "not_found")
    assert (await world.two.get(PATH)).json["data"] == []
    other = ids.show("mer", world.ids["one"])
    assert (await world.two.post(PATH, entry(merchant=other))).code == "forbidden"
    assert (await world.two.get(f"{PATH}?merchant={other}")).code == "forbidden"


async def test_an_operator_names_the_merchant(world: World) -> None:
    one = ids.show("mer", world.ids["one"])
    made = await world.operator.post(PATH, entry(merchant=one))
    assert (made.status, made.json["merchant"]) == (201, one)
    assert (await world.operator.get(f"{PATH}?merchant={one}")).json["data"] == [made.json]
    two = ids.show("mer", world.ids["two"])
    assert (await world.operator.get(f"{PATH}?merchant={two}")).json["data"] == []
    for body in (entry(), entry(merchant=ids.show("mer", ids.new())), entry(merchant="x")):
        answer = await world.operator.post(PATH, body)
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "merchant")


async def test_scopes(world: World) -> None:
    reader = await world.key("one", "payouts:read")
    other = await world.key("one", "invoices:write")
    assert (await reader.get(PATH)).status == 200
    assert (await reader.post(PATH, entry())).code == "missing_scope"
    assert (await other.get(PATH)).code == "missing_scope"
    assert (await world.stranger.get(PATH)).status == 401
