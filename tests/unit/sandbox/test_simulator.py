"""A simulated venue's account: nothing is made up or lost, whatever is ordered."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.numbers import ONE, parse, show
from exchanges.types import Venue
from sandbox.exchanges.accounts import FEES
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, FaultBox
from sandbox.exchanges.types import (
    EventKind,
    OrderStatus,
    Reason,
    Rejected,
    SimBookChange,
    SimFill,
    SimOrder,
)
from tests.settings import numbers

WORTH = {"ETH": 2500 * ONE, "EUR": ONE * 11 // 10, "USD": ONE}
SYMBOL = "ETH-EUR"
BOTH = pytest.mark.parametrize("venue", list(Venue))


def simulator(venue: Venue, file: Path | None = None) -> Simulator:
    """Its ETH-EUR stands at 2272.72."""
    made = Simulator(venue, file=file)
    made.follow_prices(WORTH)
    return made


def price(text: str) -> int:
    return parse(text)


def buy(
    venue: Simulator, quantity: str, at: str, client_id: str = "a", tif: str = "IOC"
) -> SimOrder:
    return venue.place(
        client_id=client_id,
        symbol=SYMBOL,
        side="buy",
        quantity=parse(quantity),
        price=parse(at),
        tif=tif,
    )


STEP = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 600_000),  # steps of 0.0001 ETH: up to 60
        st.integers(-400, 400),  # ticks of 0.25 away from the mid
        st.sampled_from(["IOC", "GTC", "FOK"]),
        st.sampled_from([None, None, None, Fault.EXPIRED, Fault.PARTIAL_FILL_THEN_SILENCE]),
    ),
    st.tuples(st.just("mid"), st.integers(2200, 2350)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
)


@settings(max_examples=numbers(25, 1_000), deadline=None)
@given(st.sampled_from(list(Venue)), st.lists(STEP, max_size=12))
def test_nothing_is_made_up_or_lost(venue: Venue, steps: list[tuple[object, ...]]) -> None:
    sim = simulator(venue)
    before = sim.balances()
    for number, step in enumerate(steps):
        with suppress(Rejected):
            play(sim, step, f"order-{number}")
        check(sim)
    for order in sim.orders():
        if order.status is OrderStatus.OPEN:
            sim.cancel(order.id)
    check(sim)
    assert all(balance.locked == 0 for balance in sim.balances().values())
    moved = dict.fromkeys(("ETH", "EUR"), 0)
    for fill in sim.fills():
        sign = 1 if fill.side == "buy" else -1
        moved["ETH"] += sign * fill.quantity
        moved["EUR"] -= sign * fill.quote_quantity
        moved[fill.fee_asset] -= fill.fee
    for asset, change in moved.items():
        assert sim.balances()[asset].free == before[asset].free + change
    sim.close()


def play(sim: Simulator, step: tuple[object, ...], client_id: str) -> None:
    match step:
        case ("place", str(side), int(quantity), int(away), str(tif), fault):
            assert fault is None or isinstance(fault, Fault)
            order = sim.place(
                client_id=client_id,
                symbol=SYMBOL,
                side=side,
                quantity=quantity * 10**14,
                price=parse("2272") + away * ONE // 4,
                tif=tif,
                fault=fault,
            )
            assert order.status is not OrderStatus.OPEN or tif == "GTC"
            if tif == "FOK" and fault is None:
                assert order.filled in (0, order.quantity)
        case ("mid", int(mid)):
            sim.set_mid(SYMBOL, mid * ONE)
        case ("cancel", int(which)):
            sim.cancel(sim.orders()[which % max(1, len(sim.orders()))].id if sim.orders() else 0)


def check(sim: Simulator) -> None:
    assert set(sim.accounts.totals().values()) == {0}
    assert all(b.free >= 0 and b.locked >= 0 for b in sim.balances().values())
    fees = dict.fromkeys(("ETH", "EUR"), 0)
    for order in sim.orders():
        mine = sim.fills(order_id=order.id)
        assert order.filled == sum(f.quantity for f in mine) <= order.quantity
        assert order.quote_filled == sum(f.quote_quantity for f in mine)
        assert (order.status is OrderStatus.FILLED) == (order.filled == order.quantity)
        for fill in mine:
            better = fill.price <= order.price if order.side == "buy" else fill.price >= order.price
            assert better
            fees[fill.fee_asset] += fill.fee
            assert_fee(sim, fill)
    taken = {a: free for account, a, free, _ in sim.accounts.rows() if account == FEES}
    assert {a: taken.get(a, 0) for a in fees} == fees
    book = sim.book(SYMBOL)
    assert book.bids[0][0] < book.asks[0][0]


def assert_fee(sim: Simulator, fill: SimFill) -> None:
    """By fractions: Binance takes from what is received and rounds up to 8 decimals, Coinbase
    takes quote, exactly."""
    rates = {Venue.BINANCE: ("0.001", "0.001"), Venue.COINBASE: ("0.0025", "0.0015")}
    rate = Fraction(rates[sim.venue][fill.maker])
    if sim.venue is Venue.COINBASE:
        assert fill.fee_asset == "EUR"
        assert Fraction(fill.fee) == fill.quote_quantity * rate
        return
    received = fill.quantity if fill.side == "buy" else fill.quote_quantity
    assert fill.fee_asset == ("ETH" if fill.side == "buy" else "EUR")
    assert 0 <= fill.fee - received * rate < 10**10
    assert fill.fee % 10**10 == 0


# -- one by one ----------------------------------------------------------------------------------


@BOTH
def test_filters_refuse_and_nothing_happens(venue: Venue) -> None:
    sim = simulator(venue)
    for quantity, at, reason in (
        ("1", "2272.005", Reason.FILTER_TICK),
        ("1", "0", Reason.FILTER_TICK),
        ("0.000000001", "2272", Reason.FILTER_QUANTITY),
        ("9001", "2272", Reason.FILTER_QUANTITY),
        ("1.000000001", "2272", Reason.FILTER_STEP),
        ("0.0003", "100", Reason.FILTER_NOTIONAL),
        ("250", "2272", Reason.INSUFFICIENT),
    ):
        with pytest.raises(Rejected) as caught:
            buy(sim, quantity, at)
        assert caught.value.reason is reason, (quantity, at)
    with pytest.raises(Rejected) as caught:
        sim.place(client_id="x", symbol="ETH-DOGE", side="buy", quantity=ONE, price=ONE)
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    assert sim.orders() == []
    assert show(sim.balances()["EUR"].free) == "500000"


@BOTH
def test_funds_are_held_to_the_last_unit(venue: Venue) -> None:
    """Where the fee comes on top it is held as well: exactly what is needed is enough."""
    needed = parse("401000") if venue is Venue.COINBASE else parse("400000")
    for short in (1, 0):
        sim = Simulator(venue, opening={"EUR": needed - short})
        sim.follow_prices(WORTH)
        if short:
            with pytest.raises(Rejected, match="insufficient"):
                buy(sim, "200", "2000", tif="GTC")
        else:
            buy(sim, "200", "2000", tif="GTC")
            assert sim.balances()["EUR"].free == 0
            sim.set_mid(SYMBOL, parse("1900"))
            assert sim.orders()[0].status is OrderStatus.FILLED
            assert sim.balances()["EUR"].locked == 0


def test_a_client_id_is_unique_among_open_orders_at_binance() -> None:
    sim = simulator(Venue.BINANCE)
    first, second = buy(sim, "1", "2300"), buy(sim, "1", "2300")
    assert first.id != second.id, "sending again after a fill buys twice"
    buy(sim, "1", "2000", "resting", "GTC")
    with pytest.raises(Rejected, match="duplicate"):
        buy(sim, "1", "2000", "resting", "GTC")


def test_a_client_id_is_unique_for_ever_at_coinbase() -> None:
    sim = simulator(Venue.COINBASE)
    first = buy(sim, "1", "2300")
    assert buy(sim, "2", "2400") == first
    assert len(sim.orders()) == 1


@BOTH
def test_books_are_deep_quiet_and_the_same_for_everybody(venue: Venue) -> None:
    sim, other = simulator(venue), simulator(venue)
    book = sim.book(SYMBOL, 600)
    assert (len(book.bids), len(book.asks)) == (500, 500)
    assert other.book(SYMBOL, 600).bids == book.bids
    sim.follow_prices(WORTH)
    assert sim.book(SYMBOL, 600) == book, "the mid did not move"
    mid = sim.mid(SYMBOL)
    for side, limit in (("buy", "2320"), ("sell", "2220")):
        order = sim.place(
            client_id=side, symbol=SYMBOL, side=side, quantity=20 * ONE, price=parse(limit)
        )
        slip = abs(Fraction(order.quote_filled, order.filled) / Fraction(mid, ONE) - 1)
        assert order.status is OrderStatus.FILLED
        assert slip < Fraction(5, 1000)
    again = sim.book(SYMBOL, 600)
    assert [p for p, _ in again.asks] == [p for p, _ in book.asks], "makers come back"
    assert again.asks != book.asks


@BOTH
def test_a_listener_can_keep_the_book_by_its_changes(venue: Venue) -> None:
    sim = simulator(venue)
    begun = sim.book(SYMBOL, 600)
    kept = {"bids": dict(begun.bids), "asks": dict(begun.asks)}
    sequence = begun.sequence
    with sim.subscribe() as news:
        buy(sim, "7", "2290")
        sim.set_mid(SYMBOL, price("2280"))
        buy(sim, "1", "2100", "resting", "GTC")
        sim.set_mid(SYMBOL, price("2000"))
        for event in drain(news):
            change = event.payload
            if not isinstance(change, SimBookChange):
                continue
            assert change.first == sequence + 1
            sequence = change.last
            for side, levels in (("bids", change.bids), ("asks", change.asks)):
                kept[side].update(levels)
                kept[side] = {p: q for p, q in kept[side].items() if q}
    now = sim.book(SYMBOL, 600)
    assert kept == {"bids": dict(now.bids), "asks": dict(now.asks)}
    assert sequence == now.sequence


def drain(news: asyncio.Queue) -> list:  # type: ignore[type-arg]
    return [news.get_nowait() for _ in range(news.qsize())]


@BOTH
def test_news_come_in_the_order_of_happening(venue: Venue) -> None:
    sim = simulator(venue)
    with sim.subscribe() as news:
        order = buy(sim, "200", "2273.30")
        kinds = [event.kind for event in drain(news)]
    assert order.status is OrderStatus.EXPIRED
    assert 0 < order.filled < order.quantity
    fills = len(sim.fills())
    order_, fill, balance = EventKind.ORDER, EventKind.FILL, EventKind.BALANCE
    expected = [order_, *[fill] * fills, order_, balance, balance, EventKind.BOOK, EventKind.BOOK]
    assert kinds == expected


@BOTH
def test_a_silent_fill_is_kept_and_not_told(venue: Venue) -> None:
    sim = simulator(venue)
    with sim.subscribe() as news:
        order = sim.place(
            client_id="a", symbol=SYMBOL, side="sell", quantity=4 * ONE, price=price("2200"),
            fault=Fault.PARTIAL_FILL_THEN_SILENCE,
        )  # fmt: skip
        assert {event.kind for event in drain(news)} == {EventKind.BOOK}
    assert (order.filled, order.status) == (2 * ONE, OrderStatus.EXPIRED)
    assert sim.balances()["ETH"].free == 98 * ONE


@BOTH
def test_its_state_survives_a_restart(venue: Venue, tmp_path: Path) -> None:
    file = tmp_path / "venue.db"
    sim = simulator(venue, file)
    buy(sim, "3", "2290")
    buy(sim, "2", "2100", "resting", "GTC")
    sim.set_mid(SYMBOL, price("2250"))
    sim.banks.send("EUR", price("100"), 0)
    sim.clear_banks(after_ms=0)
    sim.banks.send("EUR", price("50"), price("1.5"))
    before = sim.orders(), sim.fills(), sim.balances(), sim.fiat_deposits()
    sim.close()
    again = Simulator(venue, file=file)
    assert (again.orders(), again.fills(), again.balances(), again.fiat_deposits()) == before
    again.clear_banks(after_ms=0)  # what was under way arrives after it
    assert again.balances()["EUR"].free - before[2]["EUR"].free == price("48.5")
    assert again.mid(SYMBOL) == price("2250"), "set by hand"
    again.follow_prices(WORTH)
    assert again.mid(SYMBOL) == price("2250")
    again.set_mid(SYMBOL, price("2000"))
    order = again.order(client_id="resting")
    assert order is not None
    assert order.status is OrderStatus.FILLED, "it still stood in the book"
    again.set_mid(SYMBOL, None)
    again.follow_prices(WORTH)
    assert show(again.mid(SYMBOL)).startswith("2272.72")
    check(again)


@BOTH
def test_a_bank_sends_whole_cents_of_what_is_held(venue: Venue) -> None:
    sim = simulator(venue)
    for asset, amount, fee in (
        ("ETH", "1", "0"), ("GBP", "1", "0"), ("EUR", "1.001", "0"), ("EUR", "1", "0.001"),
        ("EUR", "1", "1"),
    ):  # fmt: skip
        with pytest.raises(Rejected):
            sim.banks.send(asset, price(amount), price(fee) if fee != "0" else 0)
    before = sim.balances()["EUR"].free
    sim.banks.send("EUR", price("10"), 0)
    sim.clear_banks()
    assert sim.balances()["EUR"].free == before, "it takes a moment"
    sim.clear_banks(after_ms=0)
    sim.clear_banks(after_ms=0)
    assert sim.balances()["EUR"].free == before + price("10"), "once"
    check(sim)


def test_without_a_price_a_market_is_closed() -> None:
    sim = Simulator(Venue.BINANCE)
    with pytest.raises(Rejected, match="market_closed"):
        buy(sim, "1", "2300")
    assert sim.book(SYMBOL).bids == ()


# -- faults --------------------------------------------------------------------------------------


def test_faults_wait_for_their_operation_in_turn() -> None:
    box = FaultBox()
    box.add("fills", "hang", 2)
    box.add("any", "banned")
    assert box.take("place") is Fault.BANNED
    assert [box.take("fills") for _ in range(3)] == [Fault.HANG, Fault.HANG, None]
    for operation, fault in (("plase", "hang"), ("place", "hung")):
        with pytest.raises(ValueError, match="is not a valid"):
            box.add(operation, fault)


def test_a_lag_hides_its_order_for_so_many_queries() -> None:
    box = FaultBox()
    box.add("place", "not_found_lag", 3)
    assert box.take("place") is Fault.NOT_FOUND_LAG
    assert box.take("place") is None
    box.hide("a")
    assert box.hiding == {"a"}
    assert [box.hidden("a") for _ in range(4)] == [True, True, True, False]
    assert not box.hidden("b")
    assert box.hiding == frozenset()
