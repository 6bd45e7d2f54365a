"""A simulated venue: one account of ours, and makers that keep its books near the mid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from core.clock import wall
from exchanges.numbers import ONE
from exchanges.types import Venue
from sandbox.exchanges.accounts import OURS, OUTSIDE, Accounts
from sandbox.exchanges.banks import CLEARING_MS, Banks
from sandbox.exchanges.faults import Fault, FaultBox
from sandbox.exchanges.markets import DIALECTS, OPENING
from sandbox.exchanges.news import News
from sandbox.exchanges.store import Store
from sandbox.exchanges.trading import Trading
from sandbox.exchanges.transfers import Transfers
from sandbox.exchanges.types import (
    Credential,
    Reason,
    Rejected,
    SimBalance,
    SimBook,
    SimDeposit,
    SimEvent,
    SimFiatDeposit,
    SimFill,
    SimMarket,
    SimNetworkRule,
    SimOrder,
    SimWithdrawal,
    TransferStatus,
)

_MIDS = "mids by hand"


def now_ms() -> int:
    """Wall time: venues know no other."""
    return int(wall().timestamp() * 1000)


class Simulator:
    """Single-threaded; nothing here waits. Every method that refuses raises `Rejected`.

    `rules`: how assets come and leave. `addresses`: the deposit address by network. `file`: where
    its state lies (None: in memory). A new account begins with `opening`, in units of 10**-18.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        seed: int = 1,
        credentials: Sequence[Credential] = (),
        rules: Sequence[SimNetworkRule] = (),
        addresses: Mapping[str, str] | None = None,
        file: Path | None = None,
        opening: Mapping[str, int] | None = None,
    ) -> None:
        self.venue = venue
        self.dialect = DIALECTS[venue]
        self.markets: Mapping[str, SimMarket] = self.dialect.markets
        self.credentials = {c.key: c for c in credentials}
        self.rules = {(rule.asset, rule.network): rule for rule in rules}
        self.faults = FaultBox()
        self.store = Store(file)
        self.accounts = Accounts()
        self._addresses = dict(addresses or {})
        self._news = News()
        self._open(opening)
        self.transfers = Transfers(self.dialect, self.accounts, self.store, self.rules, now=now_ms)
        self.banks = Banks(self.accounts, self.store, now=now_ms)
        self.trading = Trading(
            self.dialect,
            self.accounts,
            self.store,
            self._news,
            seed=f"{venue}:{seed}",
            now=now_ms,
        )
        self._worth: dict[str, int] = {}
        self._by_hand: dict[str, int] = {
            symbol: int(mid) for symbol, mid in json.loads(self.store.fact(_MIDS) or "{}").items()
        }
        for symbol, mid in self._by_hand.items():
            self.trading.requote(symbol, mid)

    def _open(self, opening: Mapping[str, int] | None) -> None:
        kept = self.store.load_balances()
        for row in kept:
            self.accounts.load(*row)
        if kept:
            return
        begins = {a: n * ONE for a, n in OPENING.items()} if opening is None else opening
        for asset, amount in begins.items():
            self.accounts.move(asset, amount, OUTSIDE, OURS)
        self.accounts.touched.clear()
        self.store.keep_balances(self.accounts.rows())

    def close(self) -> None:
        self.store.close()

    # -- orders ----------------------------------------------------------------------------------

    def place(
        self,
        *,
        client_id: str,
        symbol: str,
        side: str,
        quantity: int,
        price: int,
        tif: str = "IOC",
        fault: Fault | None = None,
    ) -> SimOrder:
        """A limit order. At Coinbase a known client id gives the first order again (compare its
        fields); at Binance it is refused only while that order is open. `fault`:
        PARTIAL_FILL_THEN_SILENCE fills a part and tells no stream, EXPIRED fills nothing or a
        part; any other is the server's own."""
        return self.trading.place(
            client_id=client_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            price=price,
            tif=tif,
            fault=fault,
        )

    def cancel(self, order_id: int) -> SimOrder:
        return self.trading.cancel(order_id)

    def order(
        self, *, order_id: int | None = None, client_id: str | None = None
    ) -> SimOrder | None:
        """By client id the newest."""
        if order_id is not None:
            return self.trading.orders.get(order_id)
        return self.trading.by_client(client_id) if client_id else None

    def orders(self, *, symbol: str | None = None, since_ms: int | None = None) -> list[SimOrder]:
        """Oldest first."""
        return [
            order
            for order in self.trading.orders.values()
            if (symbol is None or order.symbol == symbol) and order.created_at >= (since_ms or 0)
        ]

    def fills(
        self,
        *,
        symbol: str | None = None,
        order_id: int | None = None,
        since_ms: int | None = None,
        from_id: int | None = None,
    ) -> list[SimFill]:
        """Oldest first; `from_id` itself is among them."""
        trading = self.trading
        several = trading.fills if order_id is None else trading.fills_of.get(order_id, [])
        return [
            fill
            for fill in several
            if (symbol is None or fill.symbol == symbol)
            and fill.at >= (since_ms or 0)
            and fill.id >= (from_id or 0)
        ]

    # -- account ---------------------------------------------------------------------------------

    def balances(self) -> dict[str, SimBalance]:
        return self.accounts.balances()

    def deposit_address(self, asset: str, network: str) -> str:
        """In lower case; the same one for every asset of a network."""
        rule = self.transfers.rule(asset, network)
        address = self._addresses.get(rule.network)
        if address is None:
            raise Rejected(Reason.UNKNOWN_NETWORK)
        return address

    @property
    def addresses(self) -> Mapping[str, str]:
        """Deposit address by network."""
        return self._addresses

    def deposits(self, since_ms: int = 0) -> list[SimDeposit]:
        return [deposit for deposit in self.transfers.deposits() if deposit.at >= since_ms]

    def fiat_deposits(self, since_ms: int = 0) -> list[SimFiatDeposit]:
        """By when each was announced, oldest first."""
        return [deposit for deposit in self.banks.deposits if deposit.at >= since_ms]

    def clear_banks(self, after_ms: int = CLEARING_MS) -> None:
        """Credits what banks announced so long ago."""
        if self.banks.clear(after_ms):
            self.tell_balances()

    def withdraw(
        self, *, client_id: str | None, asset: str, network: str, address: str, amount: int
    ) -> SimWithdrawal:
        """Takes it from the balance; the chain's loop sends it. A known client id: at Coinbase the
        first withdrawal again, at Binance refused."""
        withdrawal = self.transfers.withdraw(
            client_id=client_id, asset=asset, network=network, address=address, amount=amount
        )
        self.tell_balances()
        return withdrawal

    def withdrawals(self, since_ms: int = 0) -> list[SimWithdrawal]:
        return [w for w in self.transfers.withdrawals.values() if w.at >= since_ms]

    @property
    def leaving(self) -> list[SimWithdrawal]:
        """Those that are not on the chain yet, oldest first."""
        ended = (TransferStatus.DONE, TransferStatus.FAILED)
        return [w for w in self.transfers.withdrawals.values() if w.status not in ended]

    def adjust(self, asset: str, amount: int) -> None:
        """A mistake planted on purpose: the balance changes, and nothing says why."""
        self.accounts.move(asset, amount, OUTSIDE, OURS)
        self.store.keep_balances(self.accounts.rows())
        self.tell_balances()

    def tell_balances(self) -> None:
        """After something other than an order changed them."""
        self._news.tell(self.trading.touched())

    # -- books -----------------------------------------------------------------------------------

    def book(self, symbol: str, depth: int = 500) -> SimBook:
        book = self.trading.books.get(symbol)
        if book is None:
            raise Rejected(Reason.UNKNOWN_SYMBOL)
        return book.show(depth)

    def mid(self, symbol: str) -> int:
        """0: nobody quotes yet."""
        return self.trading.books[symbol].mid

    def set_mid(self, symbol: str, price: int | None) -> None:
        """By hand; None: follow the sandbox's feeds again."""
        if symbol not in self.markets:
            raise Rejected(Reason.UNKNOWN_SYMBOL)
        if price is None:
            self._by_hand.pop(symbol, None)
            self.follow_prices(self._worth)
        elif price <= 0:
            raise Rejected(Reason.FILTER_TICK)
        else:
            self._by_hand[symbol] = price
            self.trading.requote(symbol, price)
        self.store.set_fact(_MIDS, json.dumps({s: str(m) for s, m in self._by_hand.items()}))

    def follow_prices(self, worth: Mapping[str, int]) -> None:
        """What assets are worth in one currency: mids that nobody set by hand move there."""
        self._worth = dict(worth)
        for symbol, market in self.markets.items():
            if symbol in self._by_hand or not {market.base, market.quote} <= worth.keys():
                continue
            mid = worth[market.base] * ONE // worth[market.quote]
            if mid and mid != self.mid(symbol):
                self.trading.requote(symbol, mid)

    def subscribe(self) -> AbstractContextManager[asyncio.Queue[SimEvent]]:
        """News from now on; public (BOOK) and private ones in one queue."""
        return self._news.subscribe()
