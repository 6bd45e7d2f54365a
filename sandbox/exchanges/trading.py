"""Orders at a simulated venue: checked, matched, settled, kept, told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from exchanges.numbers import down, times, times_up, up
from sandbox.exchanges.accounts import FEES, MAKERS, OURS, Accounts
from sandbox.exchanges.books import BookOf, MakerTrade
from sandbox.exchanges.faults import Fault
from sandbox.exchanges.markets import Dialect
from sandbox.exchanges.news import News
from sandbox.exchanges.store import Store
from sandbox.exchanges.types import (
    EventKind,
    OrderStatus,
    Reason,
    Rejected,
    SimBalanceChange,
    SimEvent,
    SimFill,
    SimMarket,
    SimOrder,
)

FIRST_ID = 10_000_000_001  # above 32 bits, as the venues' are


@dataclass(slots=True)
class Change:
    """All that one call brings about: kept in one transaction, then told."""

    at: int
    orders: dict[int, SimOrder] = field(default_factory=dict)
    fills: list[SimFill] = field(default_factory=list)
    events: list[SimEvent] = field(default_factory=list)

    def note(self, order: SimOrder, fill: SimFill | None = None) -> SimOrder:
        self.orders[order.id] = order
        if fill is None:
            self.events.append(SimEvent(kind=EventKind.ORDER, payload=order, at=self.at))
        else:
            self.fills.append(fill)
            self.events.append(SimEvent(kind=EventKind.FILL, payload=fill, order=order, at=self.at))
        return order


class Trading:
    """Reads what `store` kept at the start."""

    def __init__(
        self,
        dialect: Dialect,
        accounts: Accounts,
        store: Store,
        news: News,
        *,
        seed: str,
        now: Callable[[], int],
    ) -> None:
        self._dialect = dialect
        self._accounts = accounts
        self._store = store
        self._news = news
        self._now = now
        self.books = {s: BookOf(m, seed, now()) for s, m in dialect.markets.items()}
        self.orders: dict[int, SimOrder] = {}
        self.fills: list[SimFill] = store.load(SimFill)
        self.fills_of: dict[int, list[SimFill]] = defaultdict(list)
        for fill in self.fills:
            self.fills_of[fill.order_id].append(fill)
        self._by_client: dict[str, list[int]] = defaultdict(list)
        for order in store.load(SimOrder):
            self._remember(order)
            if order.status is OrderStatus.OPEN:
                left = order.quantity - order.filled
                self.books[order.symbol].rest(order.side, order.price, left, order.id)

    # -- asked from outside ----------------------------------------------------------------------

    def by_client(self, client_id: str) -> SimOrder | None:
        """The newest."""
        ids = self._by_client.get(client_id)
        return self.orders[ids[-1]] if ids else None

    def place(
        self,
        *,
        client_id: str,
        symbol: str,
        side: str,
        quantity: int,
        price: int,
        tif: str,
        fault: Fault | None,
    ) -> SimOrder:
        """See `Simulator.place`."""
        known = self.by_client(client_id)
        if known is not None and self._dialect.unique_ever:
            return known
        if known is not None and known.status is OrderStatus.OPEN:
            raise Rejected(Reason.DUPLICATE_CLIENT_ID)
        book = self._check(symbol, quantity, price)
        change = Change(self._now())
        order = SimOrder(
            id=next(reversed(self.orders), FIRST_ID - 1) + 1,
            client_id=client_id,
            symbol=symbol,
            side=side,
            type="limit",
            tif=tif,
            quantity=quantity,
            price=price,
            filled=0,
            quote_filled=0,
            fees=0,
            status=OrderStatus.OPEN,
            reason=None,
            created_at=change.at,
            updated_at=change.at,
        )
        self._accounts.lock(self._pays(order), self._need(order, quantity))
        order = self._execute(book, change, change.note(order), fault)
        self._keep(change)
        silent = fault is Fault.PARTIAL_FILL_THEN_SILENCE
        self._tell(change, book, private=not silent)
        self._meet(book, book.refill())
        return order

    def cancel(self, order_id: int) -> SimOrder:
        order = self.orders.get(order_id)
        if order is None or order.status is not OrderStatus.OPEN:
            raise Rejected(Reason.UNKNOWN_ORDER)
        book, change = self.books[order.symbol], Change(self._now())
        book.remove(order.side, order_id)
        order = self._end(change, order, OrderStatus.CANCELLED)
        self._keep(change)
        self._tell(change, book)
        return order

    def requote(self, symbol: str, mid: int) -> None:
        """The makers move; what of ours they cross is filled at our price, as a maker."""
        book = self.books[symbol]
        self._meet(book, book.requote(mid))

    def _meet(self, book: BookOf, trades: Sequence[MakerTrade]) -> None:
        """Quotes of makers executed orders of ours; whatever it was, the book may have changed."""
        change = Change(self._now())
        for order_id, match in trades:
            self._fill(change, self.orders[order_id], match.price, match.quantity, maker=True)
        if change.orders:
            self._keep(change)
        self._tell(change, book)

    def touched(self) -> list[SimEvent]:
        """News of balances that changed, once each."""
        assets, at = sorted(self._accounts.touched), self._now()
        self._accounts.touched.clear()
        return [
            SimEvent(
                kind=EventKind.BALANCE,
                payload=SimBalanceChange(asset=asset, free=ours.free, locked=ours.locked),
                at=at,
            )
            for asset, ours in ((a, self._accounts.ours(a)) for a in assets)
        ]

    # -- how it is done --------------------------------------------------------------------------

    def _check(self, symbol: str, quantity: int, price: int) -> BookOf:
        book = self.books.get(symbol)
        if book is None:
            raise Rejected(Reason.UNKNOWN_SYMBOL)
        market = book.market
        for reason, fine in (
            (Reason.FILTER_TICK, price > 0 and price % market.tick == 0),
            (Reason.FILTER_QUANTITY, market.min_quantity <= quantity <= market.max_quantity),
            (Reason.FILTER_STEP, quantity % market.step == 0),
            (Reason.FILTER_NOTIONAL, times(quantity, price) >= market.min_notional),
            (Reason.MARKET_CLOSED, book.mid > 0),
        ):
            if not fine:
                raise Rejected(reason)
        return book

    def _execute(
        self, book: BookOf, change: Change, order: SimOrder, fault: Fault | None
    ) -> SimOrder:
        wanted, step = order.quantity, book.market.step
        if fault is Fault.PARTIAL_FILL_THEN_SILENCE:
            wanted = max(step, down(wanted // 2, step))
        elif fault is Fault.EXPIRED:
            wanted = down(wanted // 3, step) if order.id % 2 else 0
        elif order.tif == "FOK" and book.orders.available(order.side, order.price) < wanted:
            wanted = 0
        for match in book.orders.match(order.side, wanted, order.price):
            order = self._fill(change, order, match.price, match.quantity, maker=False)
            if match.resting.order_id is not None:
                theirs = self.orders[match.resting.order_id]
                self._fill(change, theirs, match.price, match.quantity, maker=True)
        if order.status is not OrderStatus.OPEN:
            return order
        if order.tif == "GTC" and wanted == order.quantity:
            book.rest(order.side, order.price, order.quantity - order.filled, order.id)
            return order
        return self._end(change, order, OrderStatus.EXPIRED)

    def _fill(
        self, change: Change, order: SimOrder, price: int, quantity: int, *, maker: bool
    ) -> SimOrder:
        """Settles one execution with the makers, who stand between two orders of ours as well."""
        market = self._dialect.markets[order.symbol]
        worth, left = times(quantity, price), order.quantity - order.filled
        freed = self._need(order, left) - self._need(order, left - quantity)
        self._accounts.unlock(self._pays(order), freed)
        giver, taker = (OURS, MAKERS) if order.side == "buy" else (MAKERS, OURS)
        self._accounts.move(market.quote, worth, giver, taker)
        self._accounts.move(market.base, quantity, taker, giver)
        in_quote = self._dialect.fee_in_quote or order.side == "sell"
        rate = market.maker_fee if maker else market.taker_fee
        fee = up(times_up(worth if in_quote else quantity, rate), self._dialect.fee_step)
        fee_asset = market.quote if in_quote else market.base
        self._accounts.move(fee_asset, fee, OURS, FEES)
        filled = order.filled + quantity
        order = replace(
            order,
            filled=filled,
            quote_filled=order.quote_filled + worth,
            fees=order.fees + fee,
            status=OrderStatus.FILLED if filled == order.quantity else OrderStatus.OPEN,
            updated_at=change.at,
        )
        fill = SimFill(
            id=(self.fills[-1].id if self.fills else FIRST_ID - 1) + 1,
            order_id=order.id,
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            quote_quantity=worth,
            fee=fee,
            fee_asset=fee_asset,
            at=change.at,
            maker=maker,
        )
        self.fills.append(fill)
        self.fills_of[order.id].append(fill)
        self._remember(order)
        return change.note(order, fill)

    def _end(self, change: Change, order: SimOrder, status: OrderStatus) -> SimOrder:
        """What it still held is free again."""
        self._accounts.unlock(self._pays(order), self._need(order, order.quantity - order.filled))
        return change.note(replace(order, status=status, updated_at=change.at))

    def _pays(self, order: SimOrder) -> str:
        market: SimMarket = self._dialect.markets[order.symbol]
        return market.quote if order.side == "buy" else market.base

    def _need(self, order: SimOrder, quantity: int) -> int:
        """What must be held for so much of it, the fee included where it comes on top."""
        if order.side == "sell":
            return quantity
        worth = times_up(quantity, order.price)
        if not self._dialect.fee_in_quote:
            return worth
        rate = self._dialect.markets[order.symbol].taker_fee
        return worth + up(times_up(worth, rate), self._dialect.fee_step)

    def _remember(self, order: SimOrder) -> None:
        if order.id not in self.orders:
            self._by_client[order.client_id].append(order.id)
        self.orders[order.id] = order

    def _keep(self, change: Change) -> None:
        for order in change.orders.values():
            self._remember(order)
        with self._store.together():
            self._store.keep(change.orders.values())
            self._store.keep(change.fills)
            self._store.keep_balances(self._accounts.rows())

    def _tell(self, change: Change, book: BookOf, *, private: bool = True) -> None:
        balances = self.touched()
        if private:
            self._news.tell([*change.events, *balances])
        self._tell_book(book, change.at)

    def _tell_book(self, book: BookOf, at: int) -> None:
        change = book.change()
        if change is not None:
            self._news.tell([SimEvent(kind=EventKind.BOOK, payload=change, at=at)])
