"""The Binance simulator against the real SDK: signatures, clocks, parameters, filters, limits."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from dataclasses import replace
from typing import Any

import pytest
from binance.exceptions import BinanceAPIException

from exchanges.numbers import ONE, parse
from sandbox.exchanges import binance_security as security
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.types import Credential, SimDeposit, TransferStatus
from tests.integration.exchanges.binance_venue import (
    ADDRESS,
    ED_KEY,
    ED_PEM,
    ELSEWHERE,
    KEY,
    NETWORK,
    SECRET,
    Binance,
    order,
    sdk,
    served,
    simulator,
    venue,
)

__all__ = ["venue"]
DAY_MS = 86_400_000
HASH = "0x" + "ef" * 32


async def refused(call: Any) -> tuple[int, int, str]:
    """HTTP status, code and message of the SDK's error."""
    with pytest.raises(BinanceAPIException) as caught:
        await call
    return caught.value.status_code, caught.value.code, caught.value.message


# -- what is asked of a healthy venue ----------------------------------------------------------


async def test_an_order_is_filled_and_found_again_in_every_place(venue: Binance) -> None:
    client = venue.client
    placed = await client.create_order(**order(quantity="2.5"))
    assert placed["status"] == "FILLED"
    assert placed["executedQty"] == "2.50000000"
    assert sum(parse(fill["qty"]) for fill in placed["fills"]) == parse("2.5")
    found = await client.get_order(symbol="ETHEUR", origClientOrderId="order-1")
    assert found["orderId"] == placed["orderId"]
    assert found["cummulativeQuoteQty"] == placed["cummulativeQuoteQty"]
    trades = await client.get_my_trades(symbol="ETHEUR", orderId=placed["orderId"])
    assert [trade["id"] for trade in trades] == [fill["tradeId"] for fill in placed["fills"]]
    assert {trade["commissionAsset"] for trade in trades} == {"EUR"}
    gained = sum(parse(t["quoteQty"]) - parse(t["commission"]) for t in trades)
    balances = {b["asset"]: b for b in (await client.get_account())["balances"]}
    assert parse(balances["EUR"]["free"]) == 500_000 * ONE + gained
    assert balances["ETH"]["free"] == "97.50000000"


@pytest.mark.parametrize(
    ("shape", "has", "lacks"),
    [("ACK", "transactTime", "status"), ("RESULT", "status", "fills"), ("FULL", "fills", "x")],
)
async def test_an_answer_has_the_shape_that_was_asked_for(
    venue: Binance, shape: str, has: str, lacks: str
) -> None:
    placed = await venue.client.create_order(**order(newOrderRespType=shape))
    assert has in placed
    assert lacks not in placed


async def test_an_ioc_beyond_the_book_expires(venue: Binance) -> None:
    placed = await venue.client.create_order(**order(price="2300"))
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "0.00000000")
    assert placed["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"


async def test_a_resting_order_is_listed_and_cancelled_once(venue: Binance) -> None:
    client = venue.client
    placed = await client.create_order(**order(price="2300", timeInForce="GTC"))
    assert placed["status"] == "NEW"
    assert [o["orderId"] for o in await client.get_open_orders(symbol="ETHEUR")] == [
        placed["orderId"]
    ]
    ended = await client.cancel_order(symbol="ETHEUR", orderId=placed["orderId"])
    assert (ended["status"], ended["origClientOrderId"]) == ("CANCELED", "order-1")
    assert await client.get_open_orders() == []
    again = client.cancel_order(symbol="ETHEUR", orderId=placed["orderId"])
    assert await refused(again) == (400, -2011, "Unknown order sent.")


async def test_a_client_id_is_unique_among_open_orders_only(venue: Binance) -> None:
    client = venue.client
    await client.create_order(**order())
    await client.create_order(**order())  # the first is filled: this buys twice
    assert len(await client.get_all_orders(symbol="ETHEUR")) == 2
    await client.create_order(**order(price="2300", timeInForce="GTC"))
    duplicate = client.create_order(**order())
    assert await refused(duplicate) == (400, -2010, "Duplicate order sent.")


async def test_rules_say_what_the_filters_hold(venue: Binance) -> None:
    info = await venue.client.get_symbol_info("ETHEUR")
    assert info is not None
    filters = {rule["filterType"]: rule for rule in info["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00010000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert (await venue.client.get_symbol_info("USDTEUR") or {})["status"] == "BREAK"  # no price
    fees = await venue.client.get_trade_fee(symbol="ETHEUR")
    assert fees == [{"symbol": "ETHEUR", "makerCommission": "0.001", "takerCommission": "0.001"}]


async def test_trades_and_orders_are_read_by_windows_ids_and_pages(venue: Binance) -> None:
    client = venue.client
    placed = [
        await client.create_order(**order(quantity="0.1", newClientOrderId=f"o{i}"))
        for i in range(4)
    ]
    trades = await client.get_my_trades(symbol="ETHEUR")
    assert len(trades) == 4
    assert await client.get_my_trades(symbol="ETHEUR", limit=2) == trades[-2:]
    page = await client.get_my_trades(symbol="ETHEUR", fromId=trades[1]["id"], limit=2)
    assert page == trades[1:3]
    since = await client.get_my_trades(symbol="ETHEUR", startTime=trades[0]["time"])
    assert since == trades
    assert await client.get_my_trades(symbol="ETHEUR", endTime=trades[0]["time"] - 1) == []
    orders = await client.get_all_orders(symbol="ETHEUR", orderId=placed[2]["orderId"])
    assert [o["clientOrderId"] for o in orders] == ["o2", "o3"]
    now = int(time.time() * 1000)
    wide = {"symbol": "ETHEUR", "startTime": now - DAY_MS - 1, "endTime": now}
    expected = (400, -1127, "More than 24 hours between startTime and endTime.")
    assert await refused(client.get_my_trades(**wide)) == expected
    assert await refused(client.get_all_orders(**wide)) == expected
    both = client.get_my_trades(symbol="ETHEUR", fromId=1, startTime=now)
    assert (await refused(both))[1] == -1128


# -- who asks, and when ------------------------------------------------------------------------


async def test_the_sdk_signs_with_ed25519_too(venue: Binance) -> None:
    client = sdk(venue.port, ED_KEY, None, ED_PEM)
    try:
        placed = await client.create_order(**order())
        found = await client.get_order(symbol="ETHEUR", orderId=placed["orderId"])
        assert found["status"] == "FILLED"
        sent = await client.withdraw(coin="ETH", network="ETH", address=ELSEWHERE, amount="1")
        assert sent["id"]
    finally:
        await client.close_connection()


async def test_a_wrong_secret_or_private_key_is_refused(venue: Binance) -> None:
    wrong = sdk(venue.port, KEY, "wrong", None)
    other = sdk(venue.port, ED_KEY, "an HMAC signature for an Ed25519 key", None)
    try:
        for client in (wrong, other):
            expected = (400, -1022, "Signature for this request is not valid.")
            assert await refused(client.get_account()) == expected
    finally:
        await wrong.close_connection()
        await other.close_connection()


@pytest.mark.parametrize(
    ("key", "status", "code", "text"),
    [
        (None, 401, -2014, "API-key format invalid."),
        ("not a key", 401, -2014, "API-key format invalid."),
        ("unknown" * 9, 401, -2015, "Invalid API-key, IP, or permissions for action."),
    ],
)
async def test_keys(venue: Binance, key: str | None, status: int, code: int, text: str) -> None:
    response, body = await venue.raw("GET", "/api/v3/account", key=key)
    assert (response.status, body) == (status, {"code": code, "msg": text})


async def test_a_signature_covers_the_payload_as_it_was_percent_encoded(venue: Binance) -> None:
    response, body = await venue.raw("GET", "/api/v3/order", symbol="%45THEUR", orderId=1)
    assert (response.status, body["code"]) == (400, -2013)  # signed as sent: past the signature
    late = venue.client.withdraw(
        coin="ETH", network="ETH", address=ELSEWHERE, amount="1", name="a b"
    )
    assert (await refused(late))[1] == -1022  # the SDK signs before it encodes


@pytest.mark.parametrize(
    ("symbol", "signature"),
    [
        ("LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (
            "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
    ],
)
def test_the_examples_of_the_venues_own_documentation_verify(symbol: str, signature: str) -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    query = (
        f"symbol={symbol}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
    )
    known = Credential(key="documented", secret=secret)
    for sent in ((f"{query}&signature={signature}", ""), ("", f"{query}&signature={signature}")):
        security.check_signature(known, *security.rest_payload(*sent))
    half, rest = query[:30], query[30:]
    assert security.rest_payload(half, f"{rest}&signature=x") == (query, "x")
    with pytest.raises(Problem):
        security.check_signature(known, query.replace("BUY", "SELL"), signature)


async def test_hmac_signatures_may_be_in_upper_case(venue: Binance) -> None:
    stamp = int(time.time() * 1000)
    made = hmac.new(SECRET.encode(), f"timestamp={stamp}".encode(), hashlib.sha256).hexdigest()
    response, _ = await venue.raw("GET", "/api/v3/account", timestamp=stamp, signature=made.upper())
    assert response.status == 200


@pytest.mark.parametrize(
    ("ahead", "window", "code", "text"),
    [
        (-5100, None, -1021, "Timestamp for this request is outside of the recvWindow."),
        (-300, 100, -1021, "Timestamp for this request is outside of the recvWindow."),
        (1200, None, -1021, "Timestamp for this request was 1000ms ahead of the server's time."),
        (0, 60001, -1131, "recvWindow must be less than 60000."),
    ],
)
async def test_timestamps_are_held_against_wall_time(
    venue: Binance, ahead: int, window: int | None, code: int, text: str
) -> None:
    more: dict[str, Any] = {} if window is None else {"recvWindow": window}
    stamp = int(time.time() * 1000) + ahead
    response, body = await venue.raw("GET", "/api/v3/account", timestamp=stamp, **more)
    assert (response.status, body) == (400, {"code": code, "msg": text})


async def test_timestamps_within_the_window_and_in_microseconds_pass(venue: Binance) -> None:
    for stamp in (int(time.time() * 1000) - 4000, int(time.time() * 1_000_000)):
        response, _ = await venue.raw("GET", "/api/v3/account", timestamp=stamp)
        assert response.status == 200
    stamp = int(time.time() * 1000) - 20_000
    response, _ = await venue.raw("GET", "/api/v3/account", timestamp=stamp, recvWindow=30_000)
    assert response.status == 200


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"symbol": "NOTHERE"}, -1121, "Invalid symbol."),
        ({"symbol": "etheur"}, -1100, "Illegal characters found in parameter 'symbol'"),
        ({"symbol": None}, -1102, "Mandatory parameter 'symbol' was not sent"),
        ({"side": "BOTH"}, -1117, "Invalid side."),
        ({"type": "LIMITED"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTD"}, -1115, "Invalid timeInForce."),
        ({"timeInForce": None}, -1102, "Mandatory parameter 'timeInForce' was not sent"),
        ({"quantity": "-1"}, -1100, "Illegal characters found in parameter 'quantity'"),
        ({"quantity": "1e3"}, -1100, "Illegal characters found in parameter 'quantity'"),
        ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"price": "2200.123456789"}, -1111, "Parameter 'price' has too much precision."),
        ({"quantity": "0"}, -1013, "Invalid quantity."),
        ({"price": "2200.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "1000000"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "0.00001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.10005"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "9001", "price": "900"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.0001"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "5000"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "101"}, -2010, "Account has insufficient balance for requested action."),
        ({"newClientOrderId": "a.b"}, -1100, "Illegal characters found in parameter"),
        ({"newClientOrderId": "x" * 37}, -1100, "Illegal characters found in parameter"),
        ({"unheard": "of"}, -1104, "Not all sent parameters were read; read '10' parameter(s)"),
        ({"symbol": "USDTEUR", "price": "0.9", "quantity": "10"}, -1013, "Market is closed."),
    ],
)
async def test_an_order_is_refused_with_the_venues_words(
    venue: Binance, changes: dict[str, Any], code: int, text: str
) -> None:
    status, found, message = await refused(venue.client.create_order(**order(**changes)))
    assert (status, found) == (400, code)
    assert message.startswith(text)
    assert venue.simulator.orders() == []


async def test_queries_are_refused_with_the_venues_words(venue: Binance) -> None:
    client = venue.client
    absent = client.get_order(symbol="ETHEUR", origClientOrderId="nobody")
    assert await refused(absent) == (400, -2013, "Order does not exist.")
    neither = client.get_order(symbol="ETHEUR")
    assert (await refused(neither))[1] == -1102
    letters = client.get_order(symbol="ETHEUR", orderId="abc")
    assert (await refused(letters))[1:] == (
        -1100,
        "Illegal characters found in parameter 'orderId'; legal range is '^[0-9]{1,20}$'.",
    )
    unsigned, body = await venue.raw("GET", "/api/v3/account", sign=False, timestamp=1)
    assert (unsigned.status, body["code"]) == (400, -1102)
    twice, body = await venue.raw("GET", "/api/v3/depth?symbol=ETHEUR&symbol=ETHEUR", sign=False)
    assert (twice.status, body["code"]) == (400, -1101)
    empty, body = await venue.raw("GET", "/api/v3/depth", sign=False, symbol="ETHEUR", limit="")
    assert (empty.status, body["code"]) == (400, -1105)


# -- limits ------------------------------------------------------------------------------------


async def test_weight_is_counted_and_told(venue: Binance) -> None:
    await venue.client.get_order_book(symbol="ETHEUR", limit=500)
    first = int(venue.client.response.headers["X-MBX-USED-WEIGHT-1M"])
    await venue.client.get_account()
    assert int(venue.client.response.headers["X-MBX-USED-WEIGHT-1M"]) == first + 20
    await venue.client.create_order(**order())  # weighs nothing when it succeeds
    headers = venue.client.response.headers
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == first + 20
    assert headers["X-MBX-ORDER-COUNT-10S"] == "0"  # filled: not counted
    await venue.client.create_order(**order(price="2300"))
    assert venue.client.response.headers["X-MBX-ORDER-COUNT-10S"] == "1"


async def test_beyond_the_weight_429_and_who_goes_on_is_banned() -> None:
    async with served(simulator(), weight=6000) as venue:
        seen = []
        for _ in range(400):
            response, body = await venue.raw(
                "GET", "/api/v3/depth", sign=False, symbol="ETHEUR", limit=5000
            )
            seen.append(response.status)
            if response.status == 418:
                break
        assert set(seen) == {200, 429, 418}
        assert seen[:24] == [200] * 24
        assert body["code"] == -1003
        assert "IP banned until" in body["msg"]
        assert int(response.headers["Retry-After"]) >= 120


async def test_too_many_unfilled_orders(venue: Binance) -> None:
    async def place() -> None:
        for i in range(201):  # at most two intervals of ten seconds meet these
            await venue.client.create_order(**order(price="2300", newClientOrderId=f"o{i}"))

    assert (await refused(place()))[:2] == (429, -1015)
    assert int(venue.client.response.headers["Retry-After"]) <= 10


async def test_the_wallet_counts_by_account_histories_by_the_second(venue: Binance) -> None:
    await venue.client.get_deposit_history()
    assert venue.client.response.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
    await venue.client.withdraw(coin="ETH", network="ETH", address=ELSEWHERE, amount="1")
    assert venue.client.response.headers["X-SAPI-USED-UID-WEIGHT-1M"] == "600"

    async def histories() -> None:
        for _ in range(200):  # more than ten fall into one second
            await venue.client.get_withdraw_history()

    status, code, text = await refused(histories())
    assert (status, code) == (429, -1003)
    assert "current limit is 180000 request weight per 1 SECOND" in text
    assert venue.client.response.headers["Retry-After"] == "1"


# -- the wallet --------------------------------------------------------------------------------


async def test_networks_addresses_and_fees(venue: Binance) -> None:
    coins = {coin["coin"]: coin for coin in await venue.client.get_all_coins_info()}
    network = coins["ETH"]["networkList"][0]
    assert (network["network"], network["withdrawFee"]) == ("ETH", "0.0004")
    assert coins["USDC"]["networkList"][0]["withdrawIntegerMultiple"] == "0.000001"
    assert coins["EUR"]["isLegalMoney"]
    found = await venue.client.get_deposit_address("ETH", "ETH")
    assert found["address"] == ADDRESS
    nowhere = venue.client.get_deposit_address("ETH", "MATIC")
    assert (await refused(nowhere))[1] == -4018


async def test_a_withdrawal_is_found_by_our_own_id(venue: Binance) -> None:
    client = venue.client
    sent = await client.withdraw(
        coin="ETH", network="ETH", address=ELSEWHERE, amount="1.5", withdrawOrderId="w1"
    )
    (found,) = await client.get_withdraw_history(withdrawOrderId="w1")
    assert found["id"] == sent["id"]
    assert (found["status"], found["network"], found["txId"]) == (4, "ETH", "")
    assert parse(found["amount"]) + parse(found["transactionFee"]) == parse("1.5")
    assert await client.get_withdraw_history(withdrawOrderId="w2") == []
    assert venue.simulator.leaving[0].network == NETWORK


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "0.0001"}, -4022),
        ({"amount": "101"}, -4026),
        ({"address": "0x12"}, -4033),
        ({"network": "MATIC"}, -4019),
        ({"coin": "USDC", "amount": "20.0000001"}, -4021),
        ({"coin": "BTC"}, -4019),
        ({"address": None}, -1102),
    ],
)
async def test_a_withdrawal_is_refused_with_the_venues_codes(
    venue: Binance, changes: dict[str, Any], code: int
) -> None:
    sent = {"coin": "ETH", "network": "ETH", "address": ELSEWHERE, "amount": "1"} | changes
    call = venue.client.withdraw(**{k: v for k, v in sent.items() if v is not None})
    assert (await refused(call))[:2] == (400, code)
    assert venue.simulator.withdrawals() == []


async def test_a_withdrawal_is_followed_to_its_end(venue: Binance) -> None:
    client, transfers = venue.client, venue.simulator.transfers
    steps = ((TransferStatus.SENT, 4), (TransferStatus.DONE, 6), (TransferStatus.FAILED, 5))
    for i, (status, number) in enumerate(steps):
        await client.withdraw(
            coin="USDC", network="ETH", address=ELSEWHERE, amount="20", withdrawOrderId=f"w{i}"
        )
        (sent,) = [w for w in venue.simulator.withdrawals() if w.client_id == f"w{i}"]
        transfers.update(replace(sent, status=status, tx_hash=HASH))
        (found,) = await client.get_withdraw_history(withdrawOrderId=f"w{i}")
        assert (found["status"], found["txId"]) == (number, HASH)
        assert (found["amount"], found["transactionFee"]) == ("19", "1")
    assert len(await client.get_withdraw_history(coin="USDC", status=6)) == 1
    every = await client.get_withdraw_history(coin="USDC")
    assert await client.get_withdraw_history(coin="USDC", offset=1, limit=1) == every[1:2]
    again = client.withdraw(
        coin="USDC", network="ETH", address=ELSEWHERE, amount="20", withdrawOrderId="w0"
    )
    assert (await refused(again))[0] == 400
    assert len(venue.simulator.withdrawals()) == 3


async def test_a_deposit_counts_its_confirmations_and_keeps_its_last_wei(venue: Binance) -> None:
    client, transfers = venue.client, venue.simulator.transfers
    deposit = SimDeposit(
        id="d1",
        asset="ETH",
        network=NETWORK,
        address=ADDRESS,
        amount=2 * ONE + 1,
        tx_hash=HASH,
        confirmations=1,
        status=TransferStatus.PENDING,
        at=int(time.time() * 1000),
    )
    transfers.follow(NETWORK, "1", [], [deposit])
    (waiting,) = await client.get_deposit_history(coin="ETH")
    assert (waiting["status"], waiting["confirmTimes"]) == (0, "1/3")
    assert (waiting["txId"], waiting["network"], waiting["address"]) == (HASH, "ETH", ADDRESS)
    assert parse(waiting["amount"]) == deposit.amount
    transfers.follow(NETWORK, "2", [replace(deposit, confirmations=3)], [])
    (credited,) = await client.get_deposit_history(txId=HASH, status=1)
    assert (credited["id"], credited["confirmTimes"]) == ("d1", "3/3")
    assert await client.get_deposit_history(status=0) == []
    held = {b["asset"]: b["free"] for b in (await client.get_account())["balances"]}
    assert parse(held["ETH"]) == 102 * ONE + 1


async def test_histories_are_read_in_windows_that_the_venue_allows(venue: Binance) -> None:
    client, now = venue.client, int(time.time() * 1000)
    assert await client.get_deposit_history(startTime=now - 90 * DAY_MS, endTime=now) == []
    for days, more in ((91, {}), (8, {"withdrawOrderId": "w1"})):
        window = {"startTime": now - days * DAY_MS, "endTime": now, **more}
        assert (await refused(client.get_withdraw_history(**window)))[1] == -4047
    wide = client.get_deposit_history(startTime=now - 91 * DAY_MS, endTime=now)
    assert (await refused(wide))[1] == -4047


# -- what is gone ------------------------------------------------------------------------------


async def test_listen_keys_are_gone(venue: Binance) -> None:
    status, _, message = await refused(venue.client.stream_get_listen_key())
    assert status == 410
    assert "Invalid JSON error message" in message


async def test_an_unknown_path_is_a_page(venue: Binance) -> None:
    response, body = await venue.raw("GET", "/api/v3/nothing", sign=False)
    assert (response.status, body[:6]) == (404, "<html>")


async def test_many_at_once_are_answered_one_by_one(venue: Binance) -> None:
    found = await asyncio.gather(
        *(venue.client.create_order(**order(newClientOrderId=f"o{i}")) for i in range(30))
    )
    assert len({one["orderId"] for one in found}) == 30
    assert venue.simulator.balances()["ETH"].free == parse("85")
