"""The venue's own documented answers, through the adapter.

Sources: binance-spot-api-docs at a5e0bc3 (2026-07-21): rest-api.md, filters.md, errors.md,
user-data-stream.md, web-socket-streams.md; developers.binance.com, docs/wallet/capital,
docs/wallet/asset and docs/fiat/rest-api for what lies under /sapi.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from core.clock import wall
from core.errors import OrderRefused, OutcomeUnknown, UnreadableAnswer, VenueUnavailable
from exchanges.binance.depth import Depth
from exchanges.binance.streams import _private
from exchanges.numbers import ONE, parse
from exchanges.types import (
    Balance,
    Level,
    LimitOrder,
    Side,
    TransferStatus,
    VenueOrderStatus,
    WithdrawalOrder,
)
from tests.unit.exchanges.binance_stub import Stub, recorded, stub

SINCE = datetime(2019, 9, 1, tzinfo=UTC)
SOLD = LimitOrder(
    client_id="6gCrw2kRUAF9CvJDGP16IP",
    symbol="BTC-USDT",
    side=Side.SELL,
    quantity=10 * ONE,
    price=ONE,
)
FIAT, UID_WEIGHT = "/sapi/v1/fiat/orders", "X-SAPI-USED-UID-WEIGHT-1M"
OUT = WithdrawalOrder(
    client_id="mov_1",
    asset="USDT",
    network="eip155:1",
    address="0x94df8b352de7f46f64b01d3666bf6e936e44ce60",
    amount=parse("25.5"),
)


async def test_markets_their_filters_and_the_accounts_fees() -> None:
    async with (
        stub(
            api__v3__exchangeInfo=recorded("exchange_info"),
            sapi__v1__asset__tradeFee=recorded("trade_fee"),
        ) as told,
        told.adapter() as exchange,
    ):
        markets = await exchange.markets()
    # BNB-BTC has no fee told, so nothing could be quoted there
    assert set(markets) == {"ETH-BTC", "LTC-BTC"}
    market = markets["ETH-BTC"]
    assert (market.native, market.base, market.quote) == ("ETHBTC", "ETH", "BTC")
    assert (market.tick, market.step) == (parse("0.000001"), parse("0.001"))
    assert (market.min_quantity, market.max_quantity) == (parse("0.001"), parse("100000"))
    assert (market.min_notional, market.max_notional) == (parse("10"), parse("10000"))
    assert (market.taker_fee, market.trading) == (parse("0.001"), True)
    # a tick of 0 is no rule: the venue's own precision is left; MIN_NOTIONAL is the older filter
    still = markets["LTC-BTC"]
    assert (still.tick, still.min_notional, still.max_notional) == (10**10, parse("0.001"), None)
    assert (still.taker_fee, still.trading) == (parse("0.00095"), False)


async def test_a_book_and_balances() -> None:
    async with (
        stub(api__v3__depth=recorded("depth"), api__v3__account=recorded("account")) as told,
        told.adapter() as exchange,
    ):
        book = await exchange.book("BNB-BTC")
        balances = await exchange.balances()
    assert book.bids == (Level(parse("4"), parse("431")),)
    assert book.asks == (Level(parse("4.000002"), parse("12")),)
    assert (book.symbol, book.sequence) == ("BNB-BTC", 1027024)
    assert balances == {
        "BTC": Balance(parse("4723846.89208129"), 0),
        "LTC": Balance(parse("4763368.68006011"), parse("0.5")),
    }


async def test_an_order_its_question_and_its_trades() -> None:
    async with (
        stub(
            api__v3__order=[(200, recorded(f"order_{name}"), {}) for name in ("result", "query")]
            + [(200, recorded("order_expired"), {})],
            api__v3__myTrades=recorded("my_trades"),
        ) as told,
        told.adapter() as exchange,
    ):
        placed = await exchange.place(SOLD)
        new = await exchange.order("LTC-BTC", "myOrder1", SINCE)
        ended = await exchange.order("LTC-BTC", "myOrder2", SINCE)
        (fill,) = await exchange.fills("BNB-BTC", "100234")
    sent = told.of("/api/v3/order")[0].body
    assert "type=LIMIT&" in sent
    assert "timeInForce=IOC&" in sent
    assert "newClientOrderId=6gCrw2kRUAF9CvJDGP16IP&" in sent
    assert (placed.venue_id, placed.filled, placed.quote_filled) == ("28", 10 * ONE, 10 * ONE)
    assert placed.at == datetime(2017, 10, 11, 12, 32, 56, 595_000, tzinfo=UTC)
    assert new is not None
    assert (new.status, new.side, new.price) == (VenueOrderStatus.OPEN, Side.BUY, parse("0.1"))
    assert ended is not None
    assert (ended.status, ended.filled) == (VenueOrderStatus.CANCELLED, parse("0.4"))
    assert ended.reason == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert (fill.id, fill.venue_id, fill.side) == ("28457", "100234", Side.BUY)
    assert (fill.price, fill.quantity) == (parse("4.000001"), parse("12"))
    assert (fill.quote_quantity, fill.fee) == (parse("48.000012"), parse("10.1"))
    assert fill.fee_asset == "BNB"


async def test_an_older_order_may_not_know_its_quote_amount() -> None:
    raw = recorded("order_query") | {"cummulativeQuoteQty": "-1.00000000"}
    async with stub(api__v3__order=raw) as told, told.adapter() as exchange:
        found = await exchange.order("LTC-BTC", "myOrder1", SINCE)
    assert found is not None
    assert found.quote_filled == 0


@pytest.mark.parametrize(
    "change",
    [
        {"clientOrderId": "another"},
        {"symbol": "ETHEUR"},
        {"status": "REJECTED"},
        {"status": "SOMETHING_NEW"},
        {"executedQty": "ten"},
        {"executedQty": None},
        {"orderId": None, "side": "HOLD"},
        {"transactTime": "now"},
    ],
)
async def test_an_answer_to_an_order_that_is_not_understood_is_unknown(
    change: dict[str, Any],
) -> None:
    async with (
        stub(api__v3__order=recorded("order_result") | change) as told,
        told.adapter() as exchange,
    ):
        with pytest.raises(OutcomeUnknown):
            await exchange.place(SOLD)
        if set(change) != {"clientOrderId"} and change.get("status") != "REJECTED":
            with pytest.raises(UnreadableAnswer):
                await exchange.order("BTC-USDT", SOLD.client_id, SINCE)


async def test_deposits_keep_what_bezant_does_not_know() -> None:
    async with (
        stub(sapi__v1__capital__deposit__hisrec=recorded("deposits")) as told,
        told.adapter() as exchange,
    ):
        iota, bnb = await exchange.deposits(wall() - timedelta(days=1))
    assert (bnb.id, bnb.amount, bnb.network) == ("769800519366885376", 10**15, "binance:BNB")
    assert bnb.tx_hash == "0x98a3ea560c6b3336d348b6c83f0f95ece4f1f5919e94bd006e5bf3bf264facfc"
    assert (iota.amount, iota.tx_hash, iota.status) == (parse("0.5"), None, TransferStatus.DONE)


FIAT_STATUSES = {
    "Processing": TransferStatus.PENDING,
    "Failed": TransferStatus.FAILED,
    "Successful": TransferStatus.DONE,
    "Finished": TransferStatus.DONE,
    "Refunding": TransferStatus.PENDING,
    "Refunded": TransferStatus.FAILED,
    "Refund Failed": TransferStatus.PENDING,
    "Order Partial credit Stopped": TransferStatus.PENDING,
    "Expired": TransferStatus.FAILED,
    "Something New": TransferStatus.PENDING,
}


async def test_fiat_deposits_of_every_status() -> None:
    answer = recorded("fiat_orders")
    [order] = answer["data"]
    changes = [
        {"orderNo": status, "status": status, "amount": "9.50", "totalFee": "0.50"}
        for status in FIAT_STATUSES
    ]
    early = order | {"orderNo": "before", "updateTime": order["updateTime"] - 1}
    answer["data"] = [order, early, *(order | change for change in changes)]
    async with stub(sapi__v1__fiat__orders=answer) as told, told.adapter() as exchange:
        since = datetime(2021, 7, 16, 2, 1, 47, tzinfo=UTC)  # when the first one changed
        found = {one.id: one for one in await exchange.fiat_deposits(since)}
    one = found.pop("7d76d611-0568-4f43-afb6-24cac7767365")
    assert (one.asset, one.amount, one.fee, one.at) == ("BRL", 10 * ONE, 0, since)
    assert (one.network, one.address, one.tx_hash) == (None, None, None)
    assert {id_: deposit.status for id_, deposit in found.items()} == FIAT_STATUSES
    assert {(one.amount, one.fee) for one in found.values()} == {(parse("9.5"), parse("0.5"))}
    asked = [dict(p.split("=") for p in one.query.split("&")) for one in told.of(FIAT)]
    # an order is listed by when it was announced, which is before it was credited
    assert int(asked[0]["beginTime"]) == int(since.timestamp() * 1000) - 14 * 86_400_000
    assert {one["transactionType"] for one in asked} == {"0"}
    for before, after in pairwise(asked):
        assert int(before["endTime"]) + 1 == int(after["beginTime"])


async def test_fiat_deposits_are_read_to_the_end_of_all_pages() -> None:
    full, rest = recorded("fiat_orders"), recorded("fiat_orders")
    [order] = full["data"]
    now = int(wall().timestamp() * 1000)
    full["data"] = [order | {"orderNo": str(n), "updateTime": now} for n in range(500)]
    rest["data"] = [order | {"orderNo": "last", "updateTime": now}]
    pages: list[Any] = [(200, full, {}), (200, rest, {})]
    async with stub(sapi__v1__fiat__orders=pages) as told, told.adapter() as exchange:
        assert len(await exchange.fiat_deposits(wall() - timedelta(days=1))) == 501
    assert ["page=1" in told.of(FIAT)[0].query, "page=2" in told.of(FIAT)[1].query] == [True, True]


@pytest.mark.parametrize(
    "change",
    [{"success": False}, {"data": None}, {"data": [{}]}, {"data": [{"amount": 10.5}]}],
)
async def test_a_history_of_fiat_that_is_not_understood(change: dict[str, Any]) -> None:
    async with (
        stub(sapi__v1__fiat__orders=recorded("fiat_orders") | change) as told,
        told.adapter() as exchange,
    ):
        with pytest.raises(UnreadableAnswer):
            await exchange.fiat_deposits(wall() - timedelta(days=1))


async def test_the_history_of_fiat_is_dear() -> None:
    """Four questions take all that an account may ask in a minute."""
    async with (
        stub(sapi__v1__fiat__orders=recorded("fiat_orders")) as told,
        told.adapter() as exchange,
    ):
        told.answers[FIAT] = (200, recorded("fiat_orders"), {UID_WEIGHT: "135000"})
        await exchange.fiat_deposits(wall() - timedelta(days=1))
        with pytest.raises(VenueUnavailable, match="limit") as refused:
            await exchange.fiat_deposits(wall() - timedelta(days=1))
    assert refused.value.retry_after is not None
    assert len(told.of(FIAT)) == 1


async def test_withdrawals_by_our_id_and_all() -> None:
    async with (
        stub(sapi__v1__capital__withdraw__history=recorded("withdrawals")) as told,
        told.adapter() as exchange,
    ):
        found = await exchange.withdrawal("WITHDRAWtest123", wall() - timedelta(days=1))
        other = await exchange.withdrawal("unknown", wall() - timedelta(days=1))
        both = await exchange.withdrawals(wall() - timedelta(days=1))
    assert found is not None
    assert other is None  # though the stub, unlike the venue, does not filter
    assert (found.amount, found.fee) == (parse("8.91"), parse("0.004"))
    assert (found.network, found.status) == ("eip155:1", TransferStatus.DONE)
    assert found.at == datetime(2019, 10, 12, 11, 12, 2, tzinfo=UTC)
    assert [one.client_id for one in both] == [None, "WITHDRAWtest123"]


def windows(told: Stub, path: str) -> list[tuple[int, int]]:
    pairs = [dict(p.split("=") for p in one.query.split("&")) for one in told.of(path)]
    return [(int(pair["startTime"]), int(pair["endTime"])) for pair in pairs]


async def test_histories_are_read_in_windows_without_a_hole() -> None:
    week, quarter = 7 * 86_400_000, 90 * 86_400_000
    async with (
        stub(
            sapi__v1__capital__withdraw__history=[],
            sapi__v1__capital__deposit__hisrec=[],
            api__v3__myTrades=[],
        ) as told,
        told.adapter() as exchange,
    ):
        since = wall() - timedelta(days=200)
        await exchange.withdrawals(since)
        await exchange.deposits(since)
        await exchange.withdrawal("mov_1", wall() - timedelta(days=20))
        await exchange.fills_since("ETH-EUR", wall() - timedelta(days=3))
    spans = windows(told, "/sapi/v1/capital/withdraw/history")
    assert len(windows(told, "/sapi/v1/capital/deposit/hisrec")) == 3
    assert [end - start < quarter for start, end in spans[:3]] == [True] * 3
    assert all(end - start < week for start, end in spans[3:])
    assert len(spans) == 6
    days = windows(told, "/api/v3/myTrades")
    assert all(end - start <= 86_400_000 for start, end in days)
    for several in (spans[:3], spans[3:], days):
        assert all(before[1] + 1 == after[0] for before, after in pairwise(several))
        assert several[-1][1] >= int(wall().timestamp() * 1000)


@pytest.mark.parametrize("behind", [30, 3600])
async def test_a_trade_that_the_venue_dates_before_our_order_is_found(behind: int) -> None:
    """Our clock is ahead: what `sent_at` says is still to come there."""
    now = int(wall().timestamp() * 1000) - behind * 1000
    trade = recorded("my_trades")[0] | {"time": now}
    time = {"serverTime": now}
    async with (
        stub(api__v3__time=time, api__v3__myTrades=[(200, [trade], {})]) as told,
        told.adapter() as exchange,
    ):
        assert len(await exchange.fills_since("BNB-BTC", wall())) == 1
    first = dict(p.split("=") for p in told.of("/api/v3/myTrades")[0].query.split("&"))
    assert int(first["startTime"]) <= now - 30_000
    assert now <= int(first["endTime"])


async def test_trades_are_read_to_the_end_of_all_pages() -> None:
    trade = recorded("my_trades")[0]
    pages = [
        [trade | {"id": number} for number in range(1, 1001)],
        [trade | {"id": number} for number in range(1001, 2001)],
        [trade | {"id": 2001}],
    ]
    async with (
        stub(api__v3__myTrades=[(200, page, {}) for page in (pages[0], *pages)]) as told,
        told.adapter() as exchange,
    ):
        fills = await exchange.fills_since("BNB-BTC", wall() - timedelta(hours=1))
    assert [int(fill.id) for fill in fills] == list(range(1, 2002))
    asked = [dict(p.split("=") for p in one.query.split("&")) for one in told.asked[1:]]
    assert [one.get("fromId") for one in asked] == [None, "1", "1001", "2001"]


async def test_addresses_and_withdrawals_are_checked_against_the_venues_own_words() -> None:
    async with (
        stub(
            sapi__v1__capital__config__getall=recorded("coins"),
            sapi__v1__capital__deposit__address=recorded("deposit_address"),
            sapi__v1__capital__withdraw__apply=recorded("withdraw_apply"),
        ) as told,
        told.adapter() as exchange,
    ):
        address = await exchange.deposit_address("USDT", "eip155:1")
        rule = await exchange.withdrawal_rule("USDT", "eip155:1")
        venue_id = await exchange.withdraw(OUT)
        for change, reason in (
            ({"amount": parse("9")}, "below_minimum"),
            ({"amount": parse("6000001")}, "above_maximum"),
            ({"amount": parse("25.0000001")}, "bad_step"),
            ({"address": "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"}, "bad_address"),
            ({"network": "eip155:10"}, "unknown_network"),
            ({"asset": "EUR"}, "unknown_network"),
            ({"client_id": ""}, "no_client_id"),
        ):
            wrong = {name: getattr(OUT, name) for name in OUT.__slots__} | change
            with pytest.raises(OrderRefused) as refused:
                await exchange.withdraw(WithdrawalOrder(**wrong))
            assert refused.value.reason == reason
    assert address == "0x94df8b352de7f46f64b01d3666bf6e936e44ce60"
    assert (rule.fee, rule.minimum, rule.step) == (parse("3.2"), parse("10"), parse("0.000001"))
    assert venue_id == "7213fea8e94b4a5593d507237e5a555b"
    (sent,) = told.of("/sapi/v1/capital/withdraw/apply")
    assert "network=ETH&" in sent.body
    assert "withdrawOrderId=mov_1" in sent.body
    assert "amount=25.5&" in sent.body


async def test_an_address_for_another_coin_or_with_a_tag_is_not_used() -> None:
    answer = recorded("deposit_address")
    async with (
        stub(
            sapi__v1__capital__config__getall=recorded("coins"),
            sapi__v1__capital__deposit__address=[
                (200, answer | {"coin": "USDC"}, {}),
                (200, answer | {"tag": "101764890"}, {}),
            ],
        ) as told,
        told.adapter() as exchange,
    ):
        with pytest.raises(UnreadableAnswer):
            await exchange.deposit_address("USDT", "eip155:1")
        with pytest.raises(OrderRefused):
            await exchange.deposit_address("USDT", "eip155:1")


@pytest.mark.parametrize(
    ("status", "may_trade", "problem"),
    [
        (1, True, "Binance is under maintenance"),
        (0, False, "the account at Binance may not trade"),
        (0, True, None),
    ],
)
async def test_health(status: int, may_trade: bool, problem: str | None) -> None:
    async with (
        stub(
            api__v3__time={"serverTime": 1499827319559},
            api__v3__account=recorded("account") | {"canTrade": may_trade},
            sapi__v1__system__status=recorded("system_status") | {"status": status},
        ) as told,
        told.adapter() as exchange,
    ):
        health = await exchange.health()
    assert health.problem == problem
    assert health.clock_offset_ms < -(10**11)


async def test_events_of_the_streams() -> None:
    async with stub() as told, told.client() as client:
        said = {
            name: _private(client, json.dumps(recorded(name)))
            for name in ("execution_report", "account_position", "balance_update")
        }
        assert {name: update and update.client_id for name, update in said.items()} == {
            "execution_report": "mUvoqJxFIILMdfAW5iGSOW",
            "account_position": None,
            "balance_update": None,
        }
        assert all(said.values())
        subscribed = {"id": "account", "status": 200, "result": {"subscriptionId": 0}}
        assert _private(client, json.dumps(subscribed)) is None
        refused = {"id": "account", "status": 400, "error": {"code": -1021, "msg": "..."}}
        for ended in (recorded("stream_terminated"), refused, {"event": {"e": "serverShutdown"}}):
            with pytest.raises(VenueUnavailable):
                _private(client, json.dumps(ended))
    depth = Depth("BNB-BTC")
    depth.begin({"lastUpdateId": 156, "bids": [["0.0023", "1"]], "asks": [["0.0026", "7"]]})
    assert depth.apply(recorded("depth_update"))
    book = depth.book(10, SINCE)
    assert book.bids == (Level(parse("0.0024"), parse("10")), Level(parse("0.0023"), ONE))
    assert (book.asks, book.sequence) == ((Level(parse("0.0026"), parse("100")),), 160)
