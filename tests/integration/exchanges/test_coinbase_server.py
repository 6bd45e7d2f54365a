"""The simulated Coinbase as the real SDK sees it: tokens, markets, orders, fills, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import jwt
import pytest
import requests
from coinbase import jwt_generator
from requests.exceptions import SSLError

from exchanges.numbers import ONE, parse
from sandbox.exchanges import certificates
from tests.integration.exchanges.coinbase_venue import (
    ED25519_KEY,
    ED25519_SECRET,
    KEY,
    SECRET,
    Served,
    ask,
    refusal,
    serve,
)

API = "/api/v3/brokerage"
BUY = {"product_id": "ETH-EUR", "base_size": "1", "limit_price": "2010"}


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serve(tmp_path_factory.getbasetemp() / "tls") as served:
        yield served


async def test_both_kinds_of_keys_are_known(venue: Served) -> None:
    for key, secret in ((KEY, SECRET), (ED25519_KEY, ED25519_SECRET)):
        said = await ask(venue.client(key, secret).get_api_key_permissions)
        assert said["can_trade"] is True


async def test_without_the_authority_nobody_connects(venue: Served) -> None:
    client = venue.client()
    client.session.verify = True
    with pytest.raises(SSLError):
        await ask(client.get_accounts)


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "POST api.coinbase.com/api/v3/brokerage/accounts"},
        {"iss": "coinbase"},
        {"sub": "somebody"},
        {"exp": 0},
        {"nbf": 4_000_000_000, "exp": 4_000_000_060},
        {"exp": 4_000_000_000},
    ],
)
async def test_a_token_for_something_else_is_unauthorized(
    venue: Served, change: dict[str, str | int]
) -> None:
    good = jwt_generator.build_rest_jwt(f"GET {venue.host}{API}/accounts", KEY, SECRET)
    claims = jwt.decode(good, options={"verify_signature": False})
    for token, status in (
        (good, 200),
        (jwt.encode({**claims, **change}, SECRET, "ES256", headers={"kid": KEY}), 401),
        (good[:-8] + "AAAAAAAA", 401),
        ("", 401),
    ):
        response = await _get(venue, f"{API}/accounts", {"Authorization": f"Bearer {token}"})
        assert response.status_code == status
        if status == 401:
            assert response.text == "Unauthorized\n"


async def test_a_stranger_is_unauthorized(venue: Served) -> None:
    response = await refusal(venue.client(KEY, ED25519_SECRET).get_accounts)
    assert (response.status_code, response.text) == (401, "Unauthorized\n")


async def test_the_time_is_public(venue: Served) -> None:
    response = await _get(venue, f"{API}/time", {})
    assert response.json()["epochMillis"].startswith(response.json()["epochSeconds"])


async def test_a_key_that_may_only_look(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.getbasetemp() / "tls"
    async with serve(directory, scopes={"view"}) as venue:
        client = venue.client()
        assert (await ask(client.get_api_key_permissions))["can_transfer"] is False
        response = await refusal(client.limit_order_ioc_buy, "a", **BUY)
        assert response.status_code == 403
        # the SDK looks for exactly this
        assert '"error_details":"Missing required scopes"' in response.text
        assert venue.simulator.orders() == []


async def test_thirty_a_second_and_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with serve(tmp_path_factory.getbasetemp() / "tls", per_second=3) as venue:
        client = venue.client(rate_limit_headers=True)
        left = [(await ask(client.get_accounts))["rate_limit_remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        response = await refusal(client.get_accounts)
        assert response.status_code == 429
        assert response.json()["error"] == "RATE_LIMIT_EXCEEDED"


async def test_accounts_come_in_pages(venue: Served) -> None:
    client, found, cursor = venue.client(), {}, None
    while cursor != "":
        page = await ask(client.get_accounts, limit=2, cursor=cursor)
        found.update({one["currency"]: one for one in page["accounts"]})
        assert page["has_next"] is (page["cursor"] != "")
        cursor = page["cursor"]
    assert set(found) == {"ETH", "EUR", "USD", "USDC", "USDT"}
    assert found["ETH"]["available_balance"] == {"value": "100", "currency": "ETH"}
    one = await ask(client.get_account, found["EUR"]["uuid"])
    assert one["account"] == found["EUR"]
    response = await refusal(client.get_account, "8bfc20d7-f7c6-4422-bf07-8243ca4169fe")
    assert response.status_code == 404


async def test_products_and_their_rules(venue: Served) -> None:
    client = venue.client()
    listed = await ask(client.get_products)
    assert listed["num_products"] == len(listed["products"]) == 5
    one = await ask(client.get_product, "ETH-EUR")
    assert one in listed["products"]
    assert (one["base_increment"], one["price_increment"]) == ("0.00000001", "0.01")
    assert (one["status"], one["trading_disabled"], one["price"]) == ("online", False, "2000")
    some = await ask(client.get_products, product_ids=["ETH-EUR", "USDT-EUR"])
    assert {p["product_id"] for p in some["products"]} == {"ETH-EUR", "USDT-EUR"}
    response = await refusal(client.get_product, "DOGE-EUR")
    assert response.status_code == 404
    assert response.json()["message"] == "valid product_id is required"


async def test_books(venue: Served) -> None:
    client = venue.client()
    said = await ask(client.get_product_book, "ETH-EUR", limit=10)
    bids, asks = said["pricebook"]["bids"], said["pricebook"]["asks"]
    assert len(bids) == len(asks) == 10
    assert parse(bids[0]["price"]) < 2000 * ONE < parse(asks[0]["price"])
    whole = await ask(client.get_product_book, "ETH-EUR")
    assert len(whole["pricebook"]["bids"]) >= 500
    best = await ask(client.get_best_bid_ask, product_ids=["ETH-EUR"])
    assert best["pricebooks"][0]["bids"][0] == bids[0]
    assert (await refusal(client.get_product_book, "NO-SUCH")).status_code == 400


async def test_an_order_and_all_that_is_said_of_it(venue: Served) -> None:
    client = venue.client()
    before = venue.simulator.balances()
    placed = await ask(client.limit_order_ioc_buy, "mine", **BUY)
    order_id = placed["success_response"]["order_id"]
    assert placed["success"] is True
    assert placed["success_response"]["client_order_id"] == "mine"
    assert placed["order_configuration"]["sor_limit_ioc"] == {
        "base_size": "1",
        "limit_price": "2010",
    }
    order = (await ask(client.get_order, order_id))["order"]
    assert (order["status"], order["settled"], order["filled_size"]) == ("FILLED", True, "1")
    assert (order["side"], order["client_order_id"]) == ("BUY", "mine")
    fills = (await ask(client.get_fills, order_ids=[order_id]))["fills"]
    assert order["number_of_fills"] == str(len(fills))
    value = sum(parse(f["price"]) * parse(f["size"]) // ONE for f in fills)
    fees = sum(parse(f["commission"]) for f in fills)
    assert (value, fees) == (parse(order["filled_value"]), parse(order["total_fees"]))
    assert parse(order["total_value_after_fees"]) == value + fees
    assert fees == value * 25 // 10_000
    after = venue.simulator.balances()
    assert before["EUR"].free - after["EUR"].free == value + fees
    assert after["ETH"].free - before["ETH"].free == ONE
    assert len(order["average_filled_price"].partition(".")[2]) <= 16


async def test_a_known_client_id_creates_nothing(venue: Served) -> None:
    client = venue.client()
    first = await ask(client.limit_order_ioc_buy, "mine", **BUY)
    again = await ask(client.limit_order_ioc_buy, "mine", **BUY)
    other = await ask(client.limit_order_ioc_sell, "mine", "USDT-EUR", "5", "0.5")
    assert first == again == other
    assert len(venue.simulator.orders()) == 1


async def test_what_an_ioc_leaves_is_cancelled(venue: Served) -> None:
    client = venue.client()
    placed = await ask(client.limit_order_ioc_buy, "low", "ETH-EUR", "1", "1900")
    order = (await ask(client.get_order, placed["success_response"]["order_id"]))["order"]
    assert (order["status"], order["filled_size"], order["last_fill_time"]) == (
        "CANCELLED",
        "0",
        None,
    )


async def test_resting_and_cancelling(venue: Served) -> None:
    client = venue.client()
    placed = await ask(client.limit_order_gtc_buy, "rest", "ETH-EUR", "1", "1900")
    order_id = placed["success_response"]["order_id"]
    listed = await ask(client.list_orders, order_status=["OPEN"])
    assert [one["order_id"] for one in listed["orders"]] == [order_id]
    held = {a["currency"]: a["hold"]["value"] for a in (await ask(client.get_accounts))["accounts"]}
    assert held["EUR"] == "1904.75"
    cancelled = await ask(client.cancel_orders, [order_id, "nonsense"])
    assert [one["success"] for one in cancelled["results"]] == [True, False]
    assert cancelled["results"][1]["failure_reason"] == "UNKNOWN_CANCEL_ORDER"
    order = (await ask(client.get_order, order_id))["order"]
    assert (order["status"], order["cancel_message"]) == ("CANCELLED", "User requested cancel")
    response = await refusal(client.get_order, "0000")
    assert response.status_code == 404
    assert response.json()["message"] == "order with this orderID was not found"


async def test_orders_by_filter_and_page(venue: Served) -> None:
    client = venue.client()
    for number in range(5):
        await ask(client.limit_order_ioc_buy, f"eth-{number}", "ETH-EUR", "0.01", "2010")
    await ask(client.limit_order_ioc_sell, "usdt", "USDT-EUR", "100", "0.9")
    found, cursor = [], None
    while cursor != "":
        page = await ask(client.list_orders, product_ids=["ETH-EUR"], limit=2, cursor=cursor)
        assert page["has_next"] is (page["cursor"] != "")
        found += [one["client_order_id"] for one in page["orders"]]
        cursor = page["cursor"]
    assert found == [f"eth-{number}" for number in (4, 3, 2, 1, 0)]
    begun = page["orders"][-1]["created_time"]
    since = await ask(client.list_orders, start_date=begun)
    assert len(since["orders"]) == 6
    none = await ask(client.list_orders, start_date="2100-01-01T00:00:00Z")
    assert none["orders"] == []
    none = await ask(client.list_orders, end_date=begun)
    assert none["orders"] == []
    response = await refusal(client.list_orders, order_status=["OPEN", "FILLED"])
    assert (response.status_code, response.json()["error"]) == (400, "INVALID_ARGUMENT")


async def test_fills_by_filter_and_page(venue: Served) -> None:
    client = venue.client()
    for number in range(3):
        await ask(client.limit_order_ioc_buy, f"eth-{number}", "ETH-EUR", "1", "2010")
    await ask(client.limit_order_ioc_sell, "usdt", "USDT-EUR", "100", "0.9")
    kept = venue.simulator.fills(symbol="ETH-EUR")
    found, cursor = [], None
    while cursor != "":
        page = await ask(client.get_fills, product_ids=["ETH-EUR"], limit=2, cursor=cursor)
        found += page["fills"]
        cursor = page["cursor"]
    assert [parse(f["size"]) for f in found] == [f.quantity for f in reversed(kept)]
    assert len({f["entry_id"] for f in found}) == len(found) == len({f["trade_id"] for f in found})
    since = found[-1]["trade_time"]
    again = await ask(client.get_fills, start_sequence_timestamp=since, product_ids=["ETH-EUR"])
    assert again["fills"] == found
    order_id = found[0]["order_id"]
    response = await refusal(client.get_fills, order_ids=[order_id], product_ids=["ETH-EUR"])
    assert response.json() == {
        "error": "INVALID_ARGUMENT",
        "error_details": "cannot pass order_ids with other filters",
        "message": "cannot pass order_ids with other filters",
    }


@pytest.mark.parametrize(
    ("size", "price", "error", "preview"),
    [
        ("1000", "2500", "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
        ("1", "2000.001", "INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION"),
        ("1.000000001", "2000", "INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION"),
        ("0.0001", "2000", "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"),
        ("10000", "2000", "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"),
        ("0.0003", "2000", "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
    ],
)
async def test_refusals_in_the_venues_words(
    venue: Served, size: str, price: str, error: str, preview: str
) -> None:
    client = venue.client()
    said = await ask(client.limit_order_ioc_buy, "no", "ETH-EUR", size, price)
    assert said["success"] is False
    assert said["error_response"]["error"] == error
    assert said["error_response"]["preview_failure_reason"] == preview
    assert "success_response" not in said
    previewed = await ask(client.preview_limit_order_ioc_buy, "ETH-EUR", size, price)
    assert preview in previewed["errs"]
    assert venue.simulator.orders() == []


async def test_refusals_of_other_kinds(venue: Served) -> None:
    client = venue.client()
    for call, error in (
        (lambda: client.limit_order_ioc_buy("a", "NO-SUCH", "1", "1"), "INVALID_PRODUCT_ID"),
        (lambda: client.limit_order_ioc_buy("a", "ETH-USD", "1", "1"), "UNTRADABLE_PRODUCT"),
        (
            lambda: client.limit_order_gtc_buy("a", "ETH-EUR", "1", "2010", post_only=True),
            "INVALID_LIMIT_PRICE_POST_ONLY",
        ),
        (
            lambda: client.market_order_buy("a", "ETH-EUR", quote_size="10"),
            "UNSUPPORTED_ORDER_CONFIGURATION",
        ),
    ):
        said = await ask(call)
        assert (said["success"], said["error_response"]["error"]) == (False, error)
    response = await refusal(client.limit_order_ioc_buy, "a", "ETH-EUR", "much", "1")
    assert (response.status_code, response.json()["error"]) == (400, "INVALID_ARGUMENT")
    assert venue.simulator.orders() == []


async def test_a_preview_and_what_it_costs(venue: Served) -> None:
    client = venue.client()
    said = await ask(client.preview_limit_order_ioc_buy, "ETH-EUR", "1", "2000")
    assert (said["errs"], said["commission_total"], said["order_total"]) == ([], "5", "2005")
    summary = await ask(client.get_transaction_summary)
    assert summary["fee_tier"]["taker_fee_rate"] == "0.0025"
    assert venue.simulator.orders() == []


async def test_the_certificates_are_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("kept")
    first = certificates.ensure(directory).certificate_file.read_bytes()
    assert certificates.ensure(directory).certificate_file.read_bytes() == first
    assert (directory / "server.key").stat().st_mode & 0o777 == 0o600
    (directory / "ca.pem").unlink()
    assert certificates.ensure(directory).certificate_file.read_bytes() != first


async def _get(venue: Served, path: str, headers: dict[str, str]) -> requests.Response:
    """As somebody without the SDK."""
    return await asyncio.to_thread(
        requests.get,
        f"https://{venue.host}{path}",
        headers=headers,
        verify=str(venue.ca_file),
        timeout=5,
    )
