"""Balances now and then, accounts, entries, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core import clock, ids
from ledger.sequence import number_pending
from tests.integration.api.conftest import World
from tests.integration.ledger_chain.entries import PLACE, START, confirmed, entry, write


def minutes(count: int) -> str:
    return clock.show(START + timedelta(minutes=count))


async def balances(world: World, at: int | None = None) -> dict[str, Any]:
    query = "" if at is None else f"?at={minutes(at)}"
    answer = await world.one.get(f"/v1/balances{query}")
    assert answer.status == 200, answer.body
    return {row["asset"]: row for row in answer.json["data"]}


async def test_balances_now_and_at_any_moment(world: World) -> None:
    shop, database = world.ids["one"], world.context.database
    assert await balances(world) == {}
    await write(database, entry(0, shop), entry(5, shop), confirmed(0, shop))
    await write(
        database, entry(20, shop, 2_500_000, "USDC"), confirmed(20, shop, 2_500_000, "USDC")
    )
    none, one, two = "0.000000000000000000", "0.010000000000000000", "0.020000000000000000"
    name = ids.show("mer", shop)
    now = await balances(world)
    assert now["ETH"] == {
        "merchant": name,
        "asset": "ETH",
        "available": one,
        "pending": one,
        "reserved": none,
        "inbox": none,
    }
    assert (now["USDC"]["available"], now["USDC"]["pending"]) == ("2.500000", "0.000000")
    assert await balances(world, -1) == {}
    assert (await balances(world, 0))["ETH"]["pending"] == one
    assert (await balances(world, 9))["ETH"]["pending"] == two
    at_ten = await balances(world, 10)
    assert (at_ten["ETH"]["available"], at_ten["ETH"]["pending"]) == (one, one)
    assert "USDC" not in at_ten
    assert (await balances(world, 20))["USDC"]["pending"] == "2.500000"
    assert await balances(world, 10**6) == now
    shown = (await world.one.get(f"/v1/balances?at={minutes(9)}")).json
    assert (shown["object"], shown["at"]) == ("balances", minutes(9))
    for wrong in ("0001-01-01T00:00:00%2B23:00", "yesterday", "1700000000"):
        assert (await world.one.get(f"/v1/balances?at={wrong}")).status == 422


async def test_who_sees_whose(world: World) -> None:
    one, two, database = world.ids["one"], world.ids["two"], world.context.database
    mine, other = entry(1, one), entry(2, two)
    await write(database, mine, other)
    await number_pending(database)
    names = {ids.show("mer", one), ids.show("mer", two)}

    everybody = (await world.operator.get("/v1/balances")).json["data"]
    assert {row["merchant"] for row in everybody} == names
    filtered = f"/v1/balances?merchant={ids.show('mer', two)}"
    assert [r["merchant"] for r in (await world.operator.get(filtered)).json["data"]] == [
        ids.show("mer", two)
    ]
    # the filter is the operator's: a merchant sees itself whatever it asks for
    assert [r["merchant"] for r in (await world.one.get(filtered)).json["data"]] == [
        ids.show("mer", one)
    ]

    accounts = (await world.operator.get("/v1/ledger/accounts")).json["data"]
    assert [a["account"] for a in accounts] == sorted(
        [f"merchant:{name}:pending" for name in names] + [PLACE]
    )
    assert {a["account"]: a["balance"] for a in accounts}[PLACE] == "0.020000000000000000"
    own = (await world.one.get("/v1/ledger/accounts")).json["data"]
    assert [(a["account"], a["balance"]) for a in own] == [
        (f"merchant:{ids.show('mer', one)}:pending", "-0.010000000000000000")
    ]
    assert (await world.one.get("/v1/ledger/accounts?prefix=network")).json["data"] == []
    assert len((await world.operator.get("/v1/ledger/accounts?prefix=network")).json["data"]) == 1
    assert (await world.operator.get("/v1/ledger/accounts?prefix=%25")).json["data"] == []

    [seen] = (await world.one.get("/v1/ledger/entries")).json["data"]
    assert seen["id"] == ids.show("je", mine.id)
    assert [p["amount"] for p in seen["postings"]] == [
        "0.010000000000000000",
        "-0.010000000000000000",
    ]
    assert seen["seq"] == 1
    assert len(seen["hash"]) == 64
    path = f"/v1/ledger/entries/{ids.show('je', other.id)}"
    assert (await world.two.get(path)).status == 200
    assert (await world.one.get(path)).status == 404
    assert (await world.one.get(f"/v1/ledger/entries?account={PLACE}")).json["data"] == [seen]
    assert (await world.one.get("/v1/ledger/entries?reference=dep_2")).json["data"] == []
    assert (await world.stranger.get("/v1/balances")).status == 401
    weak = await world.key("one", "invoices:read")
    for path in ("/v1/balances", "/v1/ledger/accounts", "/v1/ledger/entries"):
        assert (await weak.get(path)).status == 403


async def test_pages(world: World) -> None:
    shop, database = world.ids["one"], world.context.database
    await write(database, *(entry(n, shop) for n in range(5)))
    await write(database, entry(9, shop, 5, "USDC"))
    for path, total in (("/v1/ledger/entries", 6), ("/v1/ledger/accounts", 2)):
        seen: list[Any] = []
        cursor = ""
        while True:
            page = (await world.one.get(f"{path}?limit=1{cursor}")).json
            seen += page["data"]
            if not page["has_more"]:
                assert page["next_cursor"] is None
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert len(seen) == total
        whole = (await world.one.get(path)).json["data"]
        assert seen == whole
        assert (await world.one.get(f"{path}?cursor=!")).status == 422
    assert (await world.one.get("/v1/ledger/accounts?cursor=AAoA")).status == 422  # holds U+0000


async def test_verify_is_the_operators(world: World) -> None:
    await write(world.context.database, entry(1, world.ids["one"]))
    await number_pending(world.context.database)
    assert (await world.one.get("/v1/ledger/verify")).status == 403
    report = (await world.operator.get("/v1/ledger/verify")).json
    assert (report["ok"], report["entries"], report["pending"]) == (True, 1, 0)
    assert (len(report["head"]), report["problems"]) == (64, [])
