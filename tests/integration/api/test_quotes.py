"""Quotes over HTTP: best execution explained, and every way that there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import ids
from core.clock import wall
from exchanges.numbers import ONE, parse
from ledger.accounts import EQUITY, exchange
from ledger.journal import Entry, Kind, post, transfer
from tests.integration.api.conftest import World
from tests.listings import levels, market
from tests.venue_state import Listing, tell

# ETH/USD 2500, EUR/USD 1.10: an ETH is 2272.7272 EUR
BINANCE: list[Listing] = [
    (
        market("ETH-EUR"),
        levels(("2272", "2"), ("2270", "100")),
        levels(
            ("2273", "2"),
        ),
    ),
    (market("ETH-USDC"), levels(("2499", "50")), levels(("2501", "50"))),
]
COINBASE: list[Listing] = [
    (
        market("ETH-EUR", fee="0.006"),
        levels(("2290", "1"), ("2260", "100")),
        levels(("2292", "100")),
    ),
]
HELD = {"ETH": "100", "EUR": "10000"}


@pytest.fixture
async def venues(world: World) -> World:
    await say(world)
    return world


async def say(world: World) -> None:
    """Both venues, heard just now."""
    await tell(world.context.database, "binance", BINANCE, HELD)
    await tell(world.context.database, "coinbase", COINBASE, HELD)


async def execute(world: World, sql: str) -> None:
    async with world.context.database.statement() as connection:
        await connection.execute(sql)


def wish(**changes: Any) -> dict[str, Any]:
    return {"from": "ETH", "to": "EUR", "amount": "3", "side": "sell"} | changes


async def test_a_split_explains_itself(venues: World) -> None:
    answer = await venues.operator.post("/v1/quotes", wish())
    assert answer.status == 201, answer.body
    quote = answer.json
    assert quote["id"].startswith("qte_")
    assert (quote["from"], quote["to"], quote["side"]) == ("ETH", "EUR", "sell")
    assert (quote["amount"], quote["from_amount"]) == ("3", "3")
    legs = {leg["venue"]: leg for leg in quote["legs"]}
    assert {v: leg["quantity"] for v, leg in legs.items()} == {"binance": "2", "coinbase": "1"}
    assert (
        legs["coinbase"]
        | {
            "symbol": "ETH-EUR",
            "side": "sell",
            "price": "2290.00000000",
            "limit_price": "2287.71000000",
            "fee": "13.74",
            "fee_asset": "EUR",
            "from_amount": "1",
            "to_amount": "2276.26",
            "slippage_percent": "0.0436",
            "path": legs["coinbase"]["path"],
        }
        == legs["coinbase"]
    )
    assert quote["to_amount"] == "6815.716"  # 4544 and 2290, less 4.544 and 13.74
    assert quote["price"] == "2271.905333333333333333"
    assert {(f["venue"], f["amount"], f["asset"]) for f in quote["fees"]} == {
        ("binance", "4.544", "EUR"),
        ("coinbase", "13.74", "EUR"),
    }
    assert quote["oracle"]["price"] == "2272.727272727272727273"
    assert quote["oracle"]["deviation_percent"] == "-0.0362"
    assert [len(a["symbols"]) for a in quote["alternatives"]] == [1, 1]
    assert {b["venue"] for b in quote["books"]} == {"binance", "coinbase"}
    assert quote["refused"] == []
    assert quote["conversion"] is None

    again = await venues.operator.get(f"/v1/quotes/{quote['id']}")
    assert again.json == quote
    listed = (await venues.operator.get("/v1/quotes")).json
    assert [one["id"] for one in listed["data"]] == [quote["id"]]


async def test_it_stands_for_fifteen_seconds_of_the_domains_clock(venues: World) -> None:
    venues.context.clock.set_offset(timedelta(hours=5))
    quote = (await venues.operator.post("/v1/quotes", wish())).json
    assert (
        quote["created_at"] > (venues.context.clock.now() - timedelta(minutes=1)).isoformat()[:16]
    )
    created, expires = (
        float(quote[name].rstrip("Z").rpartition(":")[2]) for name in ("created_at", "expires_at")
    )
    assert (expires - created) % 60 == pytest.approx(15, abs=0.002)


async def test_what_is_wanted_is_brought(venues: World) -> None:
    body = wish(**{"from": "EUR", "to": "ETH", "amount": "1.5", "side": "buy"})
    quote = (await venues.operator.post("/v1/quotes", body)).json
    assert parse(quote["to_amount"]) >= parse("1.5")
    assert quote["legs"][0]["fee_asset"] == "ETH"
    assert quote["from_amount"] == "3413.1368"  # 1.5016 ETH, the least whose 99.9 % are enough


async def test_the_key_makes_it_once(venues: World) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await venues.operator.post("/v1/quotes", wish(), headers=headers)
    second = await venues.operator.post("/v1/quotes", wish(), headers=headers)
    assert second.body == first.body
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_a_merchants_key_is_refused(venues: World) -> None:
    for answer in (
        await venues.one.post("/v1/quotes", wish()),
        await venues.one.get("/v1/quotes"),
        await venues.one.get("/v1/quotes/qte_01h455vb4pex5vsknk084sn02q"),
    ):
        assert (answer.status, answer.code) == (403, "forbidden")
    weak = await venues.key(None, "treasury:write")
    assert (await weak.post("/v1/quotes", wish())).code == "missing_scope"


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"to": "XYZ"}, 422, "unknown_asset"),
    ({"from": "XYZ"}, 422, "unknown_asset"),
    ({"to": "ETH"}, 422, "invalid_request"),
    ({"amount": "0"}, 422, "invalid_amount"),
    ({"amount": "0.0000000000000000001"}, 422, "invalid_amount"),
    ({"amount": 3}, 422, "invalid_request"),
    ({"amount": "0.001"}, 422, "below_minimum"),
    ({"amount": "1.234", "side": "buy"}, 422, "invalid_amount"),
    ({"from": "EUR", "to": "USDC"}, 201, ""),
    ({"to": "USD"}, 422, "no_market"),
    ({"to": "GBP"}, 503, "price_unavailable"),  # no feed knows it
    ({"amount": "250"}, 409, "insufficient_funds"),
    ({"amount": "200"}, 201, ""),
    ({"from": "EUR", "to": "ETH", "amount": "9500"}, 201, ""),
]


async def test_refusals(venues: World) -> None:
    for changes, status, code in REFUSALS:
        await say(venues)
        amount = {"amount": "500"} if changes.get("from") == "EUR" else {}
        answer = await venues.operator.post("/v1/quotes", wish(**amount | changes))
        assert answer.status == status, (changes, answer.body)
        assert status == 201 or answer.code == code


async def test_without_books_there_is_no_price(world: World) -> None:
    answer = await world.operator.post("/v1/quotes", wish())
    assert (answer.status, answer.code) == (503, "price_unavailable")
    assert answer.json["refused"] == []


SPOILT = (
    ("update venue_streams set alive_at = alive_at - interval '2.1 s'", "stale"),
    ("update venue_streams set trusted = false", "gap"),
    ("update venue_books set trusted = false", "gap"),
    ("update venue_books set bids = '[]', best_bid = null", "thin"),
    ('update venue_books set asks = \'[["1", "1"]]\', best_ask = 1', "crossed"),
    ("update venue_markets set trading = false", "not_trading"),
    ("delete from venue_books", "no_book"),
    ("delete from venue_balances", "balances_unknown"),
    ("update venue_balances set read_at = read_at - interval '91 s'", "balances_unknown"),
)


async def test_what_may_not_be_used_is_named(venues: World) -> None:
    for spoil, reason in SPOILT:
        await say(venues)
        await execute(venues, f"{spoil} where venue = 'coinbase'")
        quote = (await venues.operator.post("/v1/quotes", wish())).json
        assert {leg["venue"] for leg in quote["legs"]} == {"binance"}
        assert reason in {one["reason"] for one in quote["refused"]}
        assert {one["venue"] for one in quote["refused"]} == {"coinbase"}
        await say(venues)
        await execute(venues, spoil)
        answer = await venues.operator.post("/v1/quotes", wish())
        assert (answer.status, answer.code) == (503, "price_unavailable")
        named = {one["venue"] for one in answer.json["refused"] if one["reason"] == reason}
        assert named == {"binance", "coinbase"}, spoil


async def test_too_thin_for_the_size_and_worse_than_chainlink(venues: World) -> None:
    await execute(venues, "update venue_balances set free = free * 10")
    answer = await venues.operator.post("/v1/quotes", wish(amount="900"))
    assert (answer.status, answer.code) == (503, "price_unavailable")
    assert "thin" in {one["reason"] for one in answer.json["refused"]}
    await execute(venues, "update prices set price = price * 1.02 where base = 'ETH'")
    answer = await venues.operator.post("/v1/quotes", wish())
    assert (answer.status, answer.code) == (503, "price_unavailable")
    assert {one["reason"] for one in answer.json["refused"]} == {"worse_than_oracle"}
    assert answer.json["oracle"]["deviation_percent"].startswith("-1.99")


async def test_what_conversions_hold_is_not_offered_again(venues: World) -> None:
    async with venues.context.database.begin() as session:
        await post(session, [opening(venue) for venue in ("binance", "coinbase")])
    quote = (await venues.operator.post("/v1/quotes", wish(amount="150"))).json
    taken = await venues.operator.post(
        "/v1/conversions", {"quote": quote["id"]}, headers={"Idempotency-Key": "take"}
    )
    assert taken.status == 201, taken.body
    shown = (await venues.operator.get(f"/v1/quotes/{quote['id']}")).json
    assert shown["conversion"] == taken.json["id"]
    answer = await venues.operator.post("/v1/quotes", wish(amount="150"))
    assert (answer.status, answer.code) == (409, "insufficient_funds")
    assert sum(parse(one["amount"]) for one in answer.json["free"]) == parse("50")


async def test_prices_show_the_venues_mids(venues: World) -> None:
    await execute(venues, "update venue_books set trusted = false where venue = 'coinbase'")
    price = (await venues.operator.get("/v1/prices/ETH-EUR")).json
    told = {(s["pair"], s["source"]): s for s in price["sources"]}
    assert told["ETH/EUR", "binance"]["price"] == "2272.50000000"
    assert told["ETH/EUR", "coinbase"]["refused"] == "gap"
    assert told["ETH/USD", "chainlink"]["price"] is not None


def opening(venue: str) -> Entry:
    return Entry(
        id=ids.new(),
        key=f"opening:{venue}",
        kind=Kind.OPENING,
        reference=venue,
        merchant_id=None,
        evidence={},
        posted_at=wall(),
        postings=transfer("ETH", 100 * ONE, debit=exchange(venue), credit=EQUITY),
    )
