"""What every adapter must do, against its venue's simulator: one suite for all (VENUES 2-4).

A subclass gives two fixtures: `world`, the simulator behind a server on a port of its own, and
`exchange`, the adapter that talks to it, entered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from core import ids
from core.clock import wall
from core.errors import OrderRefused, OutcomeUnknown, VenueUnavailable
from exchanges.numbers import ONE, parse, times_up
from exchanges.protocol import Exchange
from exchanges.quantise import quantise
from exchanges.types import (
    AccountUpdate,
    BookUpdate,
    LimitOrder,
    Side,
    TransferStatus,
    Venue,
    VenueOrderStatus,
    WithdrawalOrder,
)
from sandbox.deploy import address_of
from sandbox.exchanges.chain import ChainWatch
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.types import SimOrder
from sandbox.node import Node
from sandbox.world import CONFIRMATIONS
from tests.contracts.chain import Chain
from tests.waiting import eventually

NETWORK = "eip155:31337"
MIDS = {"ETH-EUR": "2000", "ETH-USDT": "2200", "USDT-EUR": "0.91"}
SYMBOL = "ETH-EUR"
ELSEWHERE = "0x" + "22" * 20
MOVE, OTHER_MOVE = (ids.show("mov", ids.new()) for _ in range(2))

UNTOUCHED = (
    Fault.RATE_LIMITED,
    Fault.BANNED,
    Fault.FORBIDDEN,
    Fault.CLOCK_SKEW,
    Fault.BAD_SIGNATURE,
    Fault.UNAUTHORIZED_FLAP,
)
"""Plainly nothing was done."""
DONE_UNTOLD = (
    Fault.TIMEOUT_AFTER_EXECUTION,
    Fault.SERVER_ERROR_AFTER_EXECUTION,
    Fault.HTML_BODY,
    Fault.TRUNCATED_BODY,
    Fault.HANG,
    Fault.RESET_AFTER_SEND,
)
"""It was done, and the answer does not say so."""
UNDONE_UNTOLD = (
    Fault.TIMEOUT_BEFORE_EXECUTION,
    Fault.SERVER_ERROR_BEFORE_EXECUTION,
    Fault.SUCCESS_WITH_FAILURE_REASON,
    Fault.DUPLICATE_ORDER,
)
"""It was not done, and the answer does not prove that."""
UNREADABLE = (*UNTOUCHED, *DONE_UNTOLD, *UNDONE_UNTOLD[:2])
"""What a question may meet."""


@dataclass
class World:
    """A venue as a test sees and moves it."""

    simulator: Simulator

    def __post_init__(self) -> None:
        for symbol, mid in MIDS.items():
            self.simulator.set_mid(symbol, parse(mid))

    def fault(self, operation: Operation, fault: Fault, count: int = 1) -> None:
        self.simulator.faults.add(operation, fault, count)

    @property
    def orders(self) -> list[SimOrder]:
        return self.simulator.orders()

    def held(self, asset: str) -> int:
        balance = self.simulator.balances()[asset]
        return balance.free + balance.locked


def order(client_id: str = "ord_1", **changes: str | Side) -> LimitOrder:
    """A sell of half an ETH that is filled at once; `changes` replace fields."""
    given = {"symbol": SYMBOL, "side": Side.SELL, "quantity": "0.5", "price": "1900"} | changes
    return LimitOrder(
        client_id=client_id,
        symbol=str(given["symbol"]),
        side=Side(given["side"]),
        quantity=parse(given["quantity"]),
        price=parse(given["price"]),
    )


def withdrawal(client_id: str = MOVE, amount: str = "2.5") -> WithdrawalOrder:
    return WithdrawalOrder(
        client_id=client_id, asset="ETH", network=NETWORK, address=ELSEWHERE, amount=parse(amount)
    )


async def heard(news: AsyncIterator[BookUpdate], symbol: str | None) -> BookUpdate:
    """The next news of a symbol, or (None) the next heartbeat."""
    async with asyncio.timeout(10):
        async for update in news:
            if update.symbol == symbol:
                return update
    raise AssertionError("the stream ended")


class ExchangeSuite:
    """Subclass it as `Test<Venue>`."""

    @pytest.fixture
    def since(self) -> datetime:
        return wall() - timedelta(seconds=5)

    # -- markets, books, balances ----------------------------------------------------------------

    async def test_markets_have_the_rules_and_fees_of_the_venue(
        self, exchange: Exchange, world: World
    ) -> None:
        markets = await exchange.markets()
        for symbol in MIDS:
            market, told = markets[symbol], world.simulator.markets[symbol]
            assert (market.base, market.quote, market.trading) == (told.base, told.quote, True)
            assert (market.tick, market.step, market.taker_fee) == (
                told.tick,
                told.step,
                told.taker_fee,
            )
            assert market.min_quantity == told.min_quantity
            assert market.min_notional == told.min_notional

    async def test_a_book_is_the_venues_own(self, exchange: Exchange, world: World) -> None:
        book = await exchange.book(SYMBOL, 50)
        told = world.simulator.book(SYMBOL, 50)
        assert [(level.price, level.quantity) for level in book.bids[:50]] == list(told.bids)
        assert [(level.price, level.quantity) for level in book.asks[:50]] == list(told.asks)
        assert book.mid is not None
        assert book.bids[0].price < parse(MIDS[SYMBOL]) < book.asks[0].price

    async def test_balances_are_exact_beyond_any_float(
        self, exchange: Exchange, world: World
    ) -> None:
        world.simulator.adjust("USDT", parse("123456789.12345678"))
        balances = await exchange.balances()
        for asset, told in world.simulator.balances().items():
            assert (balances[asset].free, balances[asset].locked) == (told.free, told.locked)

    async def test_a_market_that_is_not_there_is_refused(self, exchange: Exchange) -> None:
        with pytest.raises(OrderRefused):
            await exchange.book("ETH-XXX")
        with pytest.raises(OrderRefused):
            await exchange.place(order(symbol="ETH-XXX"))

    # -- orders ----------------------------------------------------------------------------------

    async def test_a_filled_order_is_found_with_all_its_fills(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        before = world.held("EUR"), world.held("ETH")
        placed = await exchange.place(order(side=Side.BUY, quantity="3", price="2100"))
        found = await exchange.order(SYMBOL, "ord_1", since)
        assert found is not None
        assert (found.venue_id, found.status) == (placed.venue_id, VenueOrderStatus.FILLED)
        assert (found.side, found.quantity, found.price) == (Side.BUY, parse("3"), parse("2100"))
        fills = await exchange.fills(SYMBOL, placed.venue_id)
        assert sum(fill.quantity for fill in fills) == found.filled == parse("3")
        assert sum(fill.quote_quantity for fill in fills) == found.quote_filled
        paid = {"EUR": found.quote_filled, "ETH": -found.filled}
        for fill in fills:
            assert fill.side is Side.BUY
            paid[fill.fee_asset] += fill.fee
        assert before == (world.held("EUR") + paid["EUR"], world.held("ETH") + paid["ETH"])

    async def test_what_the_book_does_not_hold_at_the_price_is_cancelled(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        best = world.simulator.book(SYMBOL, 1).bids[0]
        much = LimitOrder(
            client_id="ord_1",
            symbol=SYMBOL,
            side=Side.SELL,
            quantity=best[1] + parse("1"),
            price=best[0],
        )
        placed = await exchange.place(much)
        found = await exchange.order(SYMBOL, "ord_1", since)
        assert found is not None
        assert (found.status, found.filled) == (VenueOrderStatus.CANCELLED, best[1])
        assert sum(f.quantity for f in await exchange.fills(SYMBOL, placed.venue_id)) == best[1]

    async def test_an_order_beside_the_market_fills_nothing(
        self, exchange: Exchange, since: datetime
    ) -> None:
        placed = await exchange.place(order(price="2500"))
        found = await exchange.order(SYMBOL, "ord_1", since)
        assert found is not None
        assert (found.status, found.filled) == (VenueOrderStatus.CANCELLED, 0)
        assert await exchange.fills(SYMBOL, placed.venue_id) == []

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"quantity": "200"}, "insufficient_funds"),
            ({"quantity": "0.0001", "price": "1"}, None),
            ({"price": "1900.001"}, None),
        ],
    )
    async def test_a_refusal_is_final_and_leaves_nothing(
        self, exchange: Exchange, world: World, changes: dict[str, str], reason: str | None
    ) -> None:
        with pytest.raises(OrderRefused) as refused:
            await exchange.place(order(**changes))
        assert reason in (None, refused.value.reason)
        assert not [one for one in world.orders if one.filled]

    async def test_an_order_without_an_id_is_never_sent(
        self, exchange: Exchange, world: World
    ) -> None:
        with pytest.raises(OrderRefused):
            await exchange.place(order(""))
        assert world.orders == []

    async def test_no_such_order_is_none(self, exchange: Exchange, since: datetime) -> None:
        assert await exchange.order(SYMBOL, "ord_never", since) is None

    async def test_a_second_sending_does_what_the_adapter_says(
        self, exchange: Exchange, world: World
    ) -> None:
        first = await exchange.place(order())
        second = await exchange.place(order())
        assert (first.venue_id == second.venue_id) is exchange.resend_returns_original
        assert (len(world.orders) == 1) is exchange.resend_returns_original

    async def test_what_is_quantised_is_accepted(self, exchange: Exchange) -> None:
        market = (await exchange.markets())[SYMBOL]
        quantity, price = quantise(market, Side.BUY, parse("0.123456789"), parse("2100.98765"))
        placed = await exchange.place(
            LimitOrder(
                client_id="ord_1", symbol=SYMBOL, side=Side.BUY, quantity=quantity, price=price
            )
        )
        spent = sum(f.quote_quantity for f in await exchange.fills(SYMBOL, placed.venue_id))
        assert 0 < spent <= times_up(quantity, price)

    async def test_executions_of_the_account_come_whole_and_in_order(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        for number in range(3):
            await exchange.place(order(f"ord_{number}", quantity="2"))
        await exchange.place(order("ord_other", symbol="ETH-USDT", price="2100"))
        fills = await exchange.fills_since(SYMBOL, since)
        assert [f.quantity for f in fills] == [
            f.quantity for f in world.simulator.fills(symbol=SYMBOL)
        ]
        assert len({fill.id for fill in fills}) == len(fills)
        assert [fill.at for fill in fills] == sorted(fill.at for fill in fills)
        assert len({fill.venue_id for fill in fills}) == 3

    # -- outcomes --------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", UNTOUCHED)
    async def test_a_plain_no_to_an_order_may_be_asked_again(
        self, exchange: Exchange, world: World, fault: Fault
    ) -> None:
        world.fault(Operation.PLACE, fault)
        with pytest.raises(VenueUnavailable) as away:
            await exchange.place(order())
        assert world.orders == []
        if fault in (Fault.RATE_LIMITED, Fault.BANNED):
            # the venue is left alone: the next call does not even leave
            assert away.value.retry_after
            with pytest.raises(VenueUnavailable):
                await exchange.balances()
        else:
            assert await self._placed_at_last(exchange)

    @staticmethod
    async def _placed_at_last(exchange: Exchange) -> bool:
        """Asking again is safe, after as long as was said."""
        async with asyncio.timeout(10):
            while True:
                try:
                    return bool((await exchange.place(order())).filled)
                except VenueUnavailable as away:
                    await asyncio.sleep(away.retry_after or 0.01)

    @pytest.mark.parametrize("fault", DONE_UNTOLD)
    async def test_an_order_that_was_done_untold_is_unknown_and_found(
        self, exchange: Exchange, world: World, fault: Fault, since: datetime
    ) -> None:
        world.fault(Operation.PLACE, fault)
        with pytest.raises(OutcomeUnknown):
            await exchange.place(order())
        found = await exchange.order(SYMBOL, "ord_1", since)
        assert found is not None
        assert found.status is VenueOrderStatus.FILLED
        assert sum(f.quantity for f in await exchange.fills(SYMBOL, found.venue_id)) == parse("0.5")
        assert len(world.orders) == 1

    @pytest.mark.parametrize("fault", UNDONE_UNTOLD)
    async def test_an_order_that_was_not_done_is_unknown_and_not_found(
        self, exchange: Exchange, world: World, fault: Fault, since: datetime
    ) -> None:
        world.fault(Operation.PLACE, fault)
        with pytest.raises(OutcomeUnknown):
            await exchange.place(order())
        assert await exchange.order(SYMBOL, "ord_1", since) is None
        assert world.orders == []

    async def test_a_part_filled_in_silence_is_found(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        world.fault(Operation.PLACE, Fault.PARTIAL_FILL_THEN_SILENCE)
        with pytest.raises(OutcomeUnknown):
            await exchange.place(order(quantity="2"))
        found = await exchange.order(SYMBOL, "ord_1", since)
        assert found is not None
        assert 0 < found.filled < parse("2")
        fills = await exchange.fills(SYMBOL, found.venue_id)
        assert sum(fill.quantity for fill in fills) == found.filled

    async def test_an_order_may_show_late(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        world.fault(Operation.PLACE, Fault.NOT_FOUND_LAG, 2)
        with pytest.raises(OutcomeUnknown):
            await exchange.place(order())
        seen = [await exchange.order(SYMBOL, "ord_1", since) for _ in range(3)]
        assert seen[:2] == [None, None]
        assert seen[2] is not None
        assert seen[2].filled == parse("0.5")

    @pytest.mark.parametrize("fault", UNREADABLE)
    async def test_a_question_without_an_answer_is_unavailable(
        self, exchange: Exchange, world: World, fault: Fault
    ) -> None:
        # twice: a connection that was kept open and is cut may have its question asked once more
        world.fault(Operation.BALANCES, fault, 2)
        with pytest.raises(VenueUnavailable):
            await exchange.balances()

    # -- deposits and withdrawals ----------------------------------------------------------------

    async def test_addresses_and_rules_are_by_network(
        self, exchange: Exchange, world: World
    ) -> None:
        address = await exchange.deposit_address("ETH", NETWORK)
        assert address.lower() == world.simulator.deposit_address("ETH", NETWORK)
        assert (await exchange.deposit_address("USDC", NETWORK)).lower() == address.lower()
        rule = await exchange.withdrawal_rule("ETH", NETWORK)
        assert (rule.asset, rule.network, rule.enabled) == ("ETH", NETWORK, True)
        with pytest.raises(OrderRefused):
            await exchange.deposit_address("ETH", "eip155:10")
        with pytest.raises(OrderRefused):
            await exchange.deposit_address("EUR", NETWORK)

    async def test_a_withdrawal_is_found_by_our_id_with_all_it_costs(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        before = world.held("ETH")
        venue_id = await exchange.withdraw(withdrawal())
        found = await exchange.withdrawal(MOVE, since)
        assert found is not None
        assert (found.id, found.client_id, found.network) == (venue_id, MOVE, NETWORK)
        assert (found.address.lower(), found.status) == (ELSEWHERE, TransferStatus.PENDING)
        free = world.simulator.balances()["ETH"].free
        assert found.amount + found.fee == before - free
        assert await exchange.withdrawals(since) == [found]
        assert await exchange.withdrawal(OTHER_MOVE, since) is None

    async def test_a_withdrawal_that_cannot_be_is_refused(
        self, exchange: Exchange, world: World
    ) -> None:
        for wrong in (withdrawal(amount="0"), withdrawal(amount="2000"), withdrawal("")):
            with pytest.raises(OrderRefused):
                await exchange.withdraw(wrong)
        assert world.simulator.withdrawals() == []

    @pytest.mark.parametrize("fault", [*UNTOUCHED, Fault.RESET_AFTER_SEND, Fault.HTML_BODY])
    async def test_a_withdrawal_is_unknown_unless_it_was_plainly_not_done(
        self, exchange: Exchange, world: World, fault: Fault, since: datetime
    ) -> None:
        world.fault(Operation.WITHDRAW, fault)
        with pytest.raises(VenueUnavailable if fault in UNTOUCHED else OutcomeUnknown):
            await exchange.withdraw(withdrawal())
        assert len(world.simulator.withdrawals()) == (fault not in UNTOUCHED)
        if fault not in UNTOUCHED:
            assert await exchange.withdrawal(MOVE, since) is not None

    async def test_money_comes_from_a_chain_and_goes_to_one(
        self, exchange: Exchange, world: World, chain: Chain, since: datetime
    ) -> None:
        purse = Purse(world.simulator, NETWORK, bytes(31) + b"\x07")
        watch = ChainWatch(NETWORK, Node(chain.url), [world.simulator], [purse], {})
        chain.rpc("anvil_setBalance", address_of(purse.secret), hex(10 * ONE))
        address = await exchange.deposit_address("ETH", NETWORK)
        tx_hash = chain.send(address, value=parse("1.25"))["transactionHash"]
        await watch.look()
        before = await exchange.balances()
        assert [d.status for d in await exchange.deposits(since)] == [TransferStatus.PENDING]
        chain.rpc("anvil_mine", hex(CONFIRMATIONS))
        await watch.look()
        (deposit,) = await exchange.deposits(since)
        assert (deposit.tx_hash, deposit.amount) == (tx_hash, parse("1.25"))
        assert (deposit.status, deposit.asset) == (TransferStatus.DONE, "ETH")
        after = await exchange.balances()
        assert after["ETH"].total - before["ETH"].total == parse("1.25")
        here = int(chain.rpc("eth_getBalance", ELSEWHERE, "latest"), 16)
        await exchange.withdraw(withdrawal())

        async def sent() -> bool:  # Anvil answers before the block is there
            await watch.look()
            known = await exchange.withdrawal(MOVE, since)
            return known is not None and known.status is TransferStatus.DONE

        await eventually(sent)
        found = await exchange.withdrawal(MOVE, since)
        assert found is not None
        arrived = int(chain.rpc("eth_getBalance", ELSEWHERE, "latest"), 16) - here
        assert arrived == found.amount
        receipt = chain.rpc("eth_getTransactionReceipt", found.tx_hash)
        assert receipt["to"] == ELSEWHERE

    async def test_a_bank_brings_fiat(
        self, exchange: Exchange, world: World, since: datetime
    ) -> None:
        before = await exchange.balances()
        banks = world.simulator.banks
        banks.send("EUR", parse("1000.50"), 0)
        (pending,) = await exchange.fiat_deposits(since)
        assert (pending.status, pending.asset) == (TransferStatus.PENDING, "EUR")
        assert (pending.network, pending.address, pending.tx_hash) == (None, None, None)
        assert (await exchange.balances())["EUR"] == before["EUR"]
        world.simulator.clear_banks(after_ms=0)
        banks.send("USD", parse("20"), parse("0.25"))
        world.simulator.clear_banks(after_ms=0)
        found = {one.asset: one for one in await exchange.fiat_deposits(since)}
        euro, dollar = found["EUR"], found["USD"]
        assert (euro.id, euro.status) == (pending.id, TransferStatus.DONE)
        assert (euro.amount, euro.fee) == (parse("1000.50"), 0)
        assert dollar.amount == parse("19.75")
        assert dollar.fee == (parse("0.25") if exchange.venue is Venue.BINANCE else 0)
        after = await exchange.balances()
        for one in (euro, dollar):
            assert after[one.asset].total - before[one.asset].total == one.amount
        assert await exchange.deposits(since) == []  # coins alone

    # -- streams and health ----------------------------------------------------------------------

    async def test_books_begin_whole_and_follow_the_market(
        self, exchange: Exchange, world: World
    ) -> None:
        async with aclosing(exchange.books([SYMBOL, "USDT-EUR"])) as news:  # type: ignore[type-var]
            seen: dict[str | None, BookUpdate] = {}
            async with asyncio.timeout(10):
                async for update in news:
                    seen[update.symbol] = update
                    if len(seen) == 3:
                        break
            assert seen[None].book is None
            for symbol in (SYMBOL, "USDT-EUR"):
                book = seen[symbol].book
                assert book is not None
                assert book.mid == pytest.approx(parse(MIDS[symbol]), rel=1e-3)
            world.simulator.set_mid(SYMBOL, parse("2100"))
            await self._settled(news, world)

    @staticmethod
    async def _settled(news: AsyncIterator[BookUpdate], world: World) -> None:
        """Returns when the book is the venue's, level by level; `heard` gives up if it never is."""
        told = world.simulator.book(SYMBOL, 100)
        seen: tuple[object, object] = (), ()
        while seen != (told.bids, told.asks):
            book = (await heard(news, SYMBOL)).book
            if book is not None:
                seen = (
                    tuple((level.price, level.quantity) for level in book.bids[:100]),
                    tuple((level.price, level.quantity) for level in book.asks[:100]),
                )

    async def test_a_quiet_market_has_a_heartbeat(self, exchange: Exchange) -> None:
        async with aclosing(exchange.books([SYMBOL])) as news:  # type: ignore[type-var]
            beats = [(await heard(news, None)).at for _ in range(3)]
        assert beats[2] - beats[0] < timedelta(seconds=2.5)

    async def test_news_told_twice_and_out_of_order_leave_a_right_book(
        self, exchange: Exchange, world: World
    ) -> None:
        async with aclosing(exchange.books([SYMBOL])) as news:  # type: ignore[type-var]
            await heard(news, SYMBOL)
            world.fault(Operation.STREAM, Fault.DUPLICATED_EVENTS, 2)
            for price in ("2050", "2060", "2070"):
                world.simulator.set_mid(SYMBOL, parse(price))
                await self._settled(news, world)

    async def test_a_stream_that_is_cut_says_so(self, exchange: Exchange, world: World) -> None:
        async with aclosing(exchange.books([SYMBOL])) as news:  # type: ignore[type-var]
            await heard(news, SYMBOL)
            world.fault(Operation.STREAM, Fault.RESET_AFTER_SEND)
            world.simulator.set_mid(SYMBOL, parse("2100"))
            with pytest.raises(VenueUnavailable):
                [update async for update in news]

    async def test_the_private_stream_wakes_for_our_orders(
        self, exchange: Exchange, world: World
    ) -> None:
        async with aclosing(exchange.account()) as news:  # type: ignore[type-var]
            first = asyncio.ensure_future(self._of_an_order(news))
            async with asyncio.timeout(10):
                number = 0
                while not first.done():  # subscribing takes a moment that nothing tells of
                    number += 1
                    await exchange.place(order(f"ord_{number}", quantity="0.01"))
                    await asyncio.wait({first}, timeout=0.1)
            assert (await first).startswith("ord_")

    @staticmethod
    async def _of_an_order(news: AsyncIterator[AccountUpdate]) -> str:
        async for update in news:
            if update.client_id is not None:
                return update.client_id
        raise AssertionError("the stream ended")

    async def test_health_tells_the_clock_and_no_problem(self, exchange: Exchange) -> None:
        health = await exchange.health()
        assert abs(health.clock_offset_ms) < 2000
        assert health.problem is None
        assert health.used_weight_percent is None or 0 <= health.used_weight_percent <= 100
        assert isinstance(exchange.venue, Venue)
