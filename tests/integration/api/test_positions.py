"""Positions, lots and gains over HTTP: what is where, what is owed, what it cost."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from core import ids
from ledger.accounts import Debt
from ledger.journal import Kind, transfer
from ledger.sequence import number_pending
from tests.integration.api.conftest import NETWORK, World
from tests.integration.api.history import DEPOSITS, HOT, Past, live


@pytest.fixture
async def past(world: World) -> Past:
    made = Past(world.context.database, world.ids["one"])
    await live(made)
    return made


async def positions(world: World) -> dict[str, Any]:
    answer = await world.operator.get("/v1/treasury/positions")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


async def test_every_asset_by_place_with_its_value(world: World, past: Past) -> None:
    body = await positions(world)
    found = {one["asset"]: one for one in body["data"]}
    assert list(found) == ["BNB", "ETH", "EUR", "USDC"]
    eth = found["ETH"]
    places = {place["kind"]: place for place in eth["places"]}
    assert {kind: place["amount"] for kind, place in places.items()} == {
        "hot": "94.500000000000000002", "treasury": "2", "transit": "1", "exchange": "2",
    }  # fmt: skip
    assert (places["hot"]["network"], places["exchange"]["reference"]) == (NETWORK, "binance")
    assert (places["treasury"]["value"], eth["price"]["price"]) == ("5000.00", "2500.00000000")
    assert eth["amount"] == "99.500000000000000002"
    assert eth["owed"] == {"merchants": "1.5", "customers": "0"}
    assert (eth["exposure"], eth["exposure_value"]) == ("98.000000000000000002", "245000.00")
    euro = found["EUR"]  # 50,000 + 5,994 less one unit - 1,900, of which 100 lie at the bank
    assert euro["amount"] == "54093.999999999999999999"
    assert {place["kind"]: place["amount"] for place in euro["places"]} == {
        "bank": "100.00", "exchange": "53993.999999999999999999",
    }  # fmt: skip
    assert found["USDC"]["amount"] == "898.5"
    assert found["USDC"]["owed"] == {"merchants": "0", "customers": "900"}
    assert found["USDC"]["exposure"] == "-1.5"


async def test_what_has_no_price_has_no_value_and_says_why(world: World, past: Past) -> None:
    body = await positions(world)
    bnb = body["data"][0]
    assert (bnb["asset"], bnb["amount"], bnb["value"], bnb["price"]) == ("BNB", "9.99", None, None)
    assert "no price feed from BNB to USD" in bnb["price_refused"]
    assert body["unpriced"] == ["BNB"]
    values = [one["value"] for one in body["data"][1:]]
    assert values == ["248750.00", "59503.40", "898.50"]
    assert (body["currency"], body["value"]) == ("USD", "309151.90")


async def test_conversions_profit_is_what_trading_and_fees_say(world: World, past: Past) -> None:
    profit = (await positions(world))["conversions"]
    assert [(one["asset"], one["amount"], one["value"]) for one in profit["trading"]] == [
        ("ETH", "-2", "-5000.00"), ("EUR", "4100.000000000000000007", "4510.00"),
    ]  # fmt: skip
    assert [(one["asset"], one["amount"]) for one in profit["fees"]] == [
        ("BNB", "-0.01"), ("EUR", "-6.000000000000000001"), ("USDC", "-1.5"),
    ]  # fmt: skip
    assert profit["value"] is None  # nobody knows what BNB costs
    assert [one["amount"] for one in profit["against_quotes"]] == ["-0.000000000000000007"]


async def test_the_oldest_lot_goes_with_its_last_unit(world: World, past: Past) -> None:
    first = (await positions(world))["data"][1]["oldest_lot"]
    away = transfer("ETH", 94 * 10**18, debit=past.debt(Debt.AVAILABLE), credit=HOT)
    await past.add(Kind.PAYOUT_PAID, "pay_2", *away)
    await number_pending(past.database)
    same = (await positions(world))["data"][1]["oldest_lot"]
    assert same["acquired_at"] == first["acquired_at"]
    away = transfer("ETH", 3 * 10**18, debit=past.debt(Debt.AVAILABLE), credit=HOT)
    await past.add(Kind.PAYOUT_PAID, "pay_3", *away)
    await number_pending(past.database)
    later = (await positions(world))["data"][1]["oldest_lot"]
    assert later["acquired_at"] > first["acquired_at"]
    assert 0 < later["age_seconds"] < first["age_seconds"]


async def test_lots_hold_what_places_hold_and_cost_what_was_seen(world: World, past: Past) -> None:
    lots = (await world.operator.get("/v1/treasury/lots?asset=ETH&limit=100")).json["data"]
    assert [(lot["left"], lot["cost"]) for lot in lots] == [
        ("0.000000000000000003", "0.00"),
        ("1", "2090.00"),  # 1,900 EUR at 1.10
        ("2", "4800.00"),  # what the deposit was worth when it was seen
        ("96.499999999999999999", "193000.00"),  # the opening at 2,000
    ]
    page = (await world.operator.get("/v1/treasury/lots?asset=ETH&limit=2")).json
    rest = await world.operator.get(
        f"/v1/treasury/lots?asset=ETH&limit=100&cursor={page['next_cursor']}"
    )
    assert page["data"] + rest.json["data"] == lots
    heap = (await world.operator.get("/v1/treasury/lots?asset=ETH&method=average")).json["data"]
    assert [lot["left"] for lot in heap] == ["99.500000000000000002"]


async def test_only_what_was_sold_realises_a_gain(world: World, past: Past) -> None:
    found = (await world.operator.get("/v1/treasury/gains?asset=ETH")).json["data"]
    assert [(one["kind"], one["sold"], one["quantity"], one["gain"]) for one in found] == [
        ("break_resolved", False, "0.000000000000000001", None),
        ("fill", True, "3", "593.40"),  # 5,994 EUR at 1.10 less 3 ETH at 2,000
        ("payout_paid", False, "0.499", None),
        ("gas", False, "0.001", None),
    ]
    sale = found[1]
    assert (sale["proceeds"], sale["cost"]) == ("6593.40", "6000.00")
    # The fee in BNB left without a known cost.
    (bnb,) = (await world.operator.get("/v1/treasury/gains?asset=BNB")).json["data"]
    assert (bnb["sold"], bnb["unvalued"], bnb["gain"]) == (False, "0.01", None)
    since = sale["created_at"]
    some = await world.operator.get(f"/v1/treasury/gains?asset=ETH&until={since}")
    assert [one["kind"] for one in some.json["data"]] == ["payout_paid", "gas"]


async def test_refusals(world: World) -> None:
    for path in ("positions", "lots?asset=ETH", "gains?asset=ETH"):
        assert (await world.one.get(f"/v1/treasury/{path}")).status == 403
        assert (await world.stranger.get(f"/v1/treasury/{path}")).status == 401
    assert (await world.operator.get("/v1/treasury/lots")).status == 422
    assert (await world.operator.get("/v1/treasury/lots?asset=ETH&method=lifo")).status == 422
    empty = (await world.operator.get("/v1/treasury/lots?asset=XYZ")).json
    assert empty["data"] == []
    assert (await positions(world))["data"] == []


@pytest.mark.parametrize("loop", [pytest.param(30, id="thirty-deposits")])
async def test_lots_follow_the_ledger_without_reading_it_again(world: World, loop: int) -> None:
    """What a fold has read is not read again: it goes on behind the last number."""
    past = Past(world.context.database, world.ids["one"])
    for _ in range(loop):
        await past.deposit(10**18, 100_00)
    await number_pending(past.database)
    before = await positions(world)
    assert before["lots_through"] == loop
    assert before["data"][0]["oldest_lot"] is not None
    back = transfer("ETH", 10**18, debit=past.debt(Debt.PENDING), credit=DEPOSITS)
    async with past.database.read() as session:
        number = await session.scalar(
            text("select reference from journal_entries order by id limit 1")
        )
    assert ids.read("dep", number or "") is not None
    await past.add(Kind.DEPOSIT_REVERSED, number or "", *back)
    await number_pending(past.database)
    after = (await positions(world))["data"][0]
    assert after["amount"] == str(loop - 1)
    assert after["oldest_lot"]["acquired_at"] > before["data"][0]["oldest_lot"]["acquired_at"]
