"""The adapter reads what Coinbase documents: recorded/coinbase, each shape with its source."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from core import ids
from core.errors import OrderRefused, OutcomeUnknown, UnreadableAnswer, VenueUnavailable
from exchanges.coinbase.stream import Streams
from exchanges.numbers import parse
from exchanges.types import (
    Balance,
    Level,
    LimitOrder,
    Side,
    TransferStatus,
    VenueOrderStatus,
    WithdrawalOrder,
)
from tests.unit.exchanges.coinbase_stand import NETWORK, Stand, plain, stand

ORDER = LimitOrder(
    client_id="ours-1",
    symbol="ETH-EUR",
    side=Side.BUY,
    quantity=parse("0.5"),
    price=parse("2015"),
)
BEFORE = datetime(2026, 4, 7, 9, tzinfo=UTC)
ADDRESS = "0x1A2b3C4d5E6f708192a3B4c5D6e7F8091a2B3c4D"
IDEM = "3c9c33fd-7ac7-4a57-9bbd-2f3a4d5c6b7a"
OURS = ids.show("mov", UUID(IDEM))


def recorded(name: str) -> Any:
    path = Path(__file__).parent / "recorded" / "coinbase" / f"{name}.json"
    return json.loads(path.read_text())["answer"]


def told(name: str) -> web.Response:
    return plain(json.dumps(recorded(name)))


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.getbasetemp() / "tls") as there:
        yield there


async def test_balances_are_summed_over_wallets(venue: Stand) -> None:
    venue.answers = [told("accounts")]
    async with venue.exchange() as exchange:
        assert await exchange.balances() == {
            "ETH": Balance(parse("3.234567890123456789"), parse("0.005")),
            "EUR": Balance(parse("10000.5"), parse("450")),
        }


async def test_markets(venue: Stand) -> None:
    venue.answers = [told("transaction_summary"), told("products")]
    async with venue.exchange() as exchange:
        found = await exchange.markets()
    assert set(found) == {"ETH-EUR", "USDT-EUR"}
    market = found["ETH-EUR"]
    assert (market.tick, market.step) == (parse("0.01"), parse("0.00000001"))
    assert (market.min_quantity, market.max_quantity) == (parse("0.00022"), parse("9600"))
    assert (market.min_notional, market.max_notional) == (parse("1"), parse("10000000"))
    assert (market.taker_fee, market.trading, market.native) == (parse("0.012"), True, "ETH-EUR")
    assert not found["USDT-EUR"].trading
    assert found["USDT-EUR"].max_notional is None


async def test_a_book(venue: Stand) -> None:
    venue.answers = [told("product_book")]
    async with venue.exchange() as exchange:
        book = await exchange.book("ETH-EUR", 2)
        assert book.bids[0] == Level(parse("2012.33"), parse("0.17189468"))
        assert [level.price for level in book.asks] == [parse("2012.34"), parse("2013")]
        at = datetime(2026, 4, 7, 0, 28, 59, 662782, tzinfo=UTC)
        assert book.sequence == int(at.timestamp()) * 10**6 + 662782
        with pytest.raises(UnreadableAnswer):
            await exchange.book("USDT-EUR", 2)
    assert venue.seen[0].query == {"product_id": "ETH-EUR", "limit": "2"}


async def test_an_order_is_placed_and_read_back(venue: Stand) -> None:
    venue.answers = [told("create_order"), told("order")]
    async with venue.exchange() as exchange:
        held = await exchange.place(ORDER)
    assert json.loads(venue.bodies[0]) == {
        "client_order_id": "ours-1",
        "product_id": "ETH-EUR",
        "side": "BUY",
        "order_configuration": {"sor_limit_ioc": {"base_size": "0.5", "limit_price": "2015"}},
    }
    assert venue.seen[1].path.endswith(f"/orders/historical/{held.venue_id}")
    assert held.status is VenueOrderStatus.FILLED
    assert (held.filled, held.quote_filled) == (parse("0.5"), parse("1006.17"))
    assert (held.reason, held.at.microsecond) == (None, 123456)


@pytest.mark.parametrize("back", [plain("gone", 502), plain('{"error":"NOT_FOUND"}', 404)])
async def test_an_order_that_is_taken_and_not_shown_yet_is_open(
    venue: Stand, back: web.Response
) -> None:
    venue.answers = [told("create_order"), back]
    async with venue.exchange() as exchange:
        held = await exchange.place(ORDER)
    assert (held.status, held.filled) == (VenueOrderStatus.OPEN, 0)
    assert held.venue_id == "1b1c1d1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_order_id", "another"),
        ("side", "SELL"),
        ("product_id", "ETH-USD"),
        ("order_configuration", {"sor_limit_ioc": {"base_size": "0.4", "limit_price": "2015"}}),
        ("order_configuration", {"sor_limit_ioc": {"base_size": "0.5", "limit_price": "2016"}}),
    ],
)
async def test_another_order_under_our_id_is_unknown(venue: Stand, field: str, value: Any) -> None:
    other = recorded("order")["order"] | {field: value}
    venue.answers = [told("create_order"), plain(json.dumps({"order": other}))]
    async with venue.exchange() as exchange:
        with pytest.raises(OutcomeUnknown, match="another order"):
            await exchange.place(ORDER)


async def test_a_refusal_names_its_reason(venue: Stand) -> None:
    venue.answers = [told("create_order_refused")]
    async with venue.exchange() as exchange:
        with pytest.raises(OrderRefused, match="Insufficient balance") as refused:
            await exchange.place(ORDER)
    assert refused.value.reason == "insufficient_funds"


@pytest.mark.parametrize(
    "answer",
    [
        recorded("create_order_both"),
        {"success": False},
        {"success": False, "failure_reason": "UNKNOWN_FAILURE_REASON", "order_id": ""},
        {"success": True},
        {"success": True, "success_response": {}},
        {"success": True, "success_response": {"order_id": "1", "client_order_id": "another"}},
        {"order_id": "1"},
        {},
    ],
)
async def test_an_answer_that_proves_nothing_is_unknown(venue: Stand, answer: Any) -> None:
    venue.answers = [plain(json.dumps(answer))]
    async with venue.exchange() as exchange:
        with pytest.raises(OutcomeUnknown):
            await exchange.place(ORDER)


async def test_a_duplicate_is_proof_that_the_order_exists(venue: Stand) -> None:
    mine = recorded("orders") | {"orders": [recorded("order")["order"]]}
    venue.answers = [told("create_order_duplicate"), plain(json.dumps(mine))]
    async with venue.exchange() as exchange:
        assert (await exchange.place(ORDER)).status is VenueOrderStatus.FILLED


async def test_a_duplicate_that_nobody_sees_is_unknown(venue: Stand) -> None:
    venue.answers = [told("create_order_duplicate"), told("orders")]
    async with venue.exchange() as exchange:
        with pytest.raises(OutcomeUnknown, match="none is listed"):
            await exchange.place(ORDER)


async def test_orders_are_found_by_our_id(venue: Stand) -> None:
    venue.answers = [told("orders")]
    async with venue.exchange() as exchange:
        found = [await exchange.order("ETH-EUR", f"ours-{n}", BEFORE) for n in (2, 3, 4, 5)]
        assert await exchange.order("ETH-EUR", "ours-6", BEFORE) is None
        with pytest.raises(ValueError, match="never empty"):
            await exchange.order("ETH-EUR", "", BEFORE)
    told_of = [(held.status, held.filled, held.reason) for held in found if held is not None]
    assert told_of == [
        (VenueOrderStatus.CANCELLED, parse("0.2"), "Internal error"),
        (VenueOrderStatus.CANCELLED, 0, "expired"),
        (VenueOrderStatus.REFUSED, 0, "insufficient balance"),
        (VenueOrderStatus.OPEN, 0, None),
    ]
    assert venue.seen[0].query["start_date"] == "2026-04-07T08:59:00.000000Z"


async def test_orders_are_looked_for_on_all_pages(venue: Stand) -> None:
    pages = [
        recorded("orders") | {"has_next": True, "cursor": "second"},
        recorded("orders") | {"orders": [], "has_next": True, "cursor": "third"},
        recorded("orders") | {"orders": [recorded("order")["order"]]},
    ]
    venue.answers = [plain(json.dumps(page)) for page in pages]
    async with venue.exchange() as exchange:
        assert await exchange.order("ETH-EUR", "ours-1", BEFORE) is not None
    assert [request.query.get("cursor") for request in venue.seen] == [None, "second", "third"]


@pytest.mark.parametrize("cursor", ["", "same"])
async def test_pages_without_an_end_prove_nothing(venue: Stand, cursor: str) -> None:
    venue.answers = [plain(json.dumps(recorded("orders") | {"has_next": True, "cursor": cursor}))]
    async with venue.exchange() as exchange:
        with pytest.raises(UnreadableAnswer, match="end"):
            await exchange.order("ETH-EUR", "ours-1", BEFORE)


async def test_fills_come_oldest_first_with_fees_in_quote(venue: Stand) -> None:
    venue.answers = [told("fills")]
    async with venue.exchange() as exchange:
        fills = await exchange.fills("ETH-EUR", "1b1c1d1e-0000-4000-8000-000000000001")
        with pytest.raises(UnreadableAnswer, match="another order"):
            await exchange.fills("ETH-EUR", "somebody's")
    assert [(fill.id, fill.quantity, fill.quote_quantity, fill.fee) for fill in fills] == [
        ("e1", parse("0.2"), parse("402.468"), parse("4.829616")),
        ("e2", parse("0.3"), parse("603.702"), parse("7.244424")),
    ]
    assert {fill.fee_asset for fill in fills} == {"EUR"}


@pytest.mark.parametrize("kind", ["REVERSAL", "CORRECTION", "SYNTHETIC"])
async def test_a_trade_that_is_undone_is_for_a_person(venue: Stand, kind: str) -> None:
    """It hides none of the others from who compares, and an order's fills are not booked by it."""
    page = recorded("fills")
    page["fills"][0] |= {"trade_type": kind, "size": "-0.3"}
    venue.answers = [plain(json.dumps(page))]
    async with venue.exchange() as exchange:
        fills = await exchange.fills_since("ETH-EUR", BEFORE)
        with pytest.raises(UnreadableAnswer, match=kind):
            await exchange.fills("ETH-EUR", "1b1c1d1e-0000-4000-8000-000000000001")
    assert [(fill.id, fill.amends, fill.quantity) for fill in fills] == [
        ("e1", None, parse("0.2")),
        ("e2", kind, parse("-0.3")),
    ]


async def test_a_deposit_address_is_of_its_network(venue: Stand) -> None:
    venue.answers = [told("accounts"), told("addresses")]
    async with venue.exchange() as exchange:
        assert await exchange.deposit_address("ETH", NETWORK) == ADDRESS
        for asset, network in (("ETH", "eip155:10"), ("DOGE", NETWORK)):
            venue.answers = [told("accounts")]
            with pytest.raises(OrderRefused, match="unknown"):
                await exchange.deposit_address(asset, network)


async def test_deposits_and_withdrawals(venue: Stand) -> None:
    wallets = recorded("accounts")
    wallets["accounts"] = wallets["accounts"][:1]
    asked = [plain(json.dumps(wallets)), told("transactions")]
    async with venue.exchange() as exchange:
        venue.answers = list(asked)
        sent = await exchange.withdrawals(BEFORE)
        venue.answers = list(asked)
        came = await exchange.deposits(BEFORE)
        venue.answers = list(asked)
        mine = await exchange.withdrawal(OURS, BEFORE)
    assert [(each.id, each.status, each.amount, each.fee) for each in sent] == [
        ("t1", TransferStatus.FAILED, parse("0.1"), 0),
        ("t2", TransferStatus.PENDING, parse("0.2"), 0),
        ("t5", TransferStatus.DONE, parse("0.5"), parse("0.01")),
    ]
    assert mine == sent[-1]
    assert (mine.client_id, mine.tx_hash, mine.network) == (OURS, "0x" + "ab" * 32, NETWORK)
    assert [(each.id, each.amount, each.tx_hash) for each in came] == [
        ("t4", parse("0.75"), "0x" + "cd" * 32)
    ]


async def test_fiat_deposits_are_of_fiat_wallets(venue: Stand) -> None:
    venue.answers = [told("accounts"), told("fiat_transactions")]
    async with venue.exchange() as exchange:
        first, second = await exchange.fiat_deposits(BEFORE)
        nothing = recorded("fiat_transactions")
        nothing["data"][0]["amount"]["amount"] = "0.00"
        venue.answers = [told("accounts"), plain(json.dumps(nothing))]
        with pytest.raises(UnreadableAnswer):
            await exchange.fiat_deposits(BEFORE)
    assert (first.id, first.asset, first.amount) == ("f1", "EUR", parse("1000"))
    assert (first.status, second.status) == (TransferStatus.DONE, TransferStatus.PENDING)
    assert (first.network, first.address, first.tx_hash, first.fee) == (None, None, None, 0)


async def test_a_withdrawal_goes_out_under_our_id(venue: Stand) -> None:
    made = recorded("transactions")["data"][0]
    venue.answers = [told("accounts"), plain(json.dumps({"data": made}), 201)]
    order = WithdrawalOrder(
        client_id=OURS, asset="ETH", network=NETWORK, address=ADDRESS, amount=parse("0.5")
    )
    async with venue.exchange() as exchange:
        assert await exchange.withdraw(order) == "t5"
        assert json.loads(venue.bodies[-1]) == {
            "type": "send",
            "to": ADDRESS,
            "amount": "0.5",
            "currency": "ETH",
            "network": "ethereum",
            "idem": IDEM,
        }
        others: list[dict[str, Any]] = [{"to": {"address": "0x0"}}, {"amount": {}}, {"network": {}}]
        for wrong in others:
            venue.answers = [plain(json.dumps({"data": made | wrong}), 201)]
            with pytest.raises(OutcomeUnknown):
                await exchange.withdraw(order)


async def test_the_stream(venue: Stand) -> None:
    venue.said = [json.dumps(message) for message in recorded("stream")]
    async with venue.exchange() as exchange:
        async with aclosing(exchange.books(["ETH-EUR"])) as updates:
            first, second, beat = [await anext(updates) for _ in range(3)]
        async with aclosing(exchange.account()) as news:
            assert [(await anext(news)).client_id for _ in range(2)] == [None, "ours-1"]
    assert first.book is not None
    assert second.book is not None
    assert first.book.bids[0] == Level(parse("2000"), parse("1.5"))
    assert second.book.bids == (Level(parse("1999.5"), parse("0.75")),)
    assert [level.price for level in second.book.asks] == [
        parse("2000.5"),
        parse("2001"),
        parse("2001.5"),
    ]
    assert second.book.sequence > first.book.sequence
    assert (beat.symbol, beat.book) == (None, None)


async def test_a_gap_ends_trust_until_the_next_snapshot(venue: Stand) -> None:
    snapshot, _, update, *_ = recorded("stream")
    numbered = [
        snapshot,
        update | {"sequence_num": 2},  # 1 is lost
        update | {"sequence_num": 1},  # late: its gap is announced already
        update | {"sequence_num": 3},
        snapshot | {"sequence_num": 4},
        update | {"sequence_num": 4},  # twice
        update | {"sequence_num": 5},
    ]
    venue.said = [json.dumps(message) for message in numbered]
    async with (
        venue.exchange() as exchange,
        aclosing(exchange.books(["ETH-EUR"])) as updates,
    ):
        books = [(await anext(updates)).book for _ in range(4)]
        asked = [json.loads(await venue.asked.get()) for _ in range(4)]
    assert [book is None for book in books] == [False, True, False, False]
    assert [(message["type"], message["channel"]) for message in asked] == [
        ("subscribe", "heartbeats"),
        ("subscribe", "level2"),
        ("unsubscribe", "level2"),
        ("subscribe", "level2"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"error","message":"authentication failure"}',
        "<html>",
        "[]",
        '{"channel":"heartbeats"}',
        '{"sequence_num":0}',
        '{"sequence_num":0,"channel":"l2_data","timestamp":"2026-04-07","events":[]}',
        json.dumps(recorded("stream")[0]).replace("ETH-EUR", "BTC-EUR"),
    ],
)
async def test_a_stream_that_cannot_be_read_ends(venue: Stand, text: str) -> None:
    venue.said = [text]
    async with venue.exchange() as exchange:
        with pytest.raises(VenueUnavailable):
            await anext(exchange.books(["ETH-EUR"]))


async def test_a_silent_stream_ends(venue: Stand) -> None:
    context = ssl.create_default_context(cafile=venue.ca_file)
    url = f"wss://{venue.host}/stream"
    for news in (
        Streams(url, context, lambda: "token", 5, silence=0.05).books(["ETH-EUR"]),
        Streams(url, context, lambda: "token", 5, silence=0.05).account(),
    ):
        with pytest.raises(VenueUnavailable, match="silent"):
            await anext(news)
