"""/v1/prices over HTTP: the pair, the list, and 503 with who was refused and why."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.api.conftest import NETWORK, World


async def execute(world: World, sql: str) -> None:
    async with world.context.database.begin() as session:
        await session.execute(text(sql))


@pytest.mark.parametrize(
    ("pair", "price"),
    [
        ("ETH-USD", "2500.00000000"),
        ("USD-ETH", "0.00040000"),
        ("ETH-EUR", "2272.727272727272727273"),
        ("EUR-USD", "1.10000000"),
        ("USD-USD", "1.00000000"),
    ],
)
async def test_a_pair(world: World, pair: str, price: str) -> None:
    answer = await world.one.get(f"/v1/prices/{pair}")
    assert answer.status == 200
    base, quote = pair.split("-")
    shown = answer.json
    assert (shown["base"], shown["quote"], shown["price"]) == (base, quote, price)
    assert shown["age_seconds"] >= 0
    assert len(shown["sources"]) == {"ETH-EUR": 2, "USD-USD": 0}.get(pair, 1)
    for source in shown["sources"]:
        assert source["source"] == "chainlink"
        assert source["network"] == NETWORK
        assert {"price", "observed_at", "round_id"} <= source.keys()
        assert "refused" not in source
        assert "memory" not in source


async def test_the_list(world: World) -> None:
    await execute(world, "update prices set refused = 'jump' where base = 'ETH'")
    answer = await world.one.get("/v1/prices")
    assert answer.status == 200
    shown = {p["id"]: p["price"] for p in answer.json["data"]}
    assert shown == {"ETH-USD": None, "EUR-USD": "1.10000000", "USDC-USD": "1.00000000"}
    assert (answer.json["object"], answer.json["has_more"]) == ("list", False)


async def test_stale(world: World) -> None:
    await execute(world, "update prices set valid_until = now() where base = 'ETH'")
    await refused(world, ["stale", None])


async def test_refused(world: World) -> None:
    await execute(
        world,
        "update prices set refused = 'jump',"
        " sources = jsonb_set(sources, '{0,refused}', '\"jump\"') where base = 'ETH'",
    )
    await refused(world, ["jump", None])


async def refused(world: World, reasons: list[str | None]) -> None:
    answer = await world.one.get("/v1/prices/ETH-EUR")
    assert (answer.status, answer.code) == (503, "price_unavailable")
    assert [s.get("refused") for s in answer.json["sources"]] == reasons


async def test_a_currency_without_a_feed(world: World) -> None:
    answer = await world.one.get("/v1/prices/ETH-GBP")
    assert (answer.status, answer.code) == (503, "price_unavailable")
    assert answer.json["sources"] == []


@pytest.mark.parametrize(
    "path", ["ETH-NOPE", "NOPE-USD", "eth-usd", "ETH", "ETH-USD-X", "%E2%82%BF-USD"]
)
async def test_unknown(world: World, path: str) -> None:
    answer = await world.one.get(f"/v1/prices/{path}")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_symbol_with_a_nul_or_without_end_is_refused(world: World) -> None:
    for symbol in ("%00", "E" * 21):
        assert (await world.one.get(f"/v1/prices/{symbol}-USD")).status == 422


async def test_who_may_read(world: World) -> None:
    for who, status in (
        (world.stranger, 401),
        (await world.key("one", "invoices:read"), 403),
        (await world.key("one", "quotes:read"), 200),
        (world.operator, 200),
    ):
        assert (await who.get("/v1/prices/ETH-USD")).status == status
        assert (await who.get("/v1/prices")).status == status
