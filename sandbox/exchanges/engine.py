"""A simulated venue: one account of ours, and makers that keep its books near the mid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from exchanges.types import Venue
from sandbox.exchanges.faults import Fault, FaultBox
from sandbox.exchanges.markets import DIALECTS
from sandbox.exchanges.types import (
    Credential,
    SimBalance,
    SimBook,
    SimDeposit,
    SimEvent,
    SimFill,
    SimMarket,
    SimNetworkRule,
    SimOrder,
    SimWithdrawal,
)


class Simulator:
    """Single-threaded; nothing here waits. Every method that refuses raises `Rejected`.

    `rules`: how assets come and leave. `addresses`: the deposit address by network.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        seed: int = 1,
        credentials: Sequence[Credential] = (),
        rules: Sequence[SimNetworkRule] = (),
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        self.venue = venue
        self.dialect = DIALECTS[venue]
        self.markets: Mapping[str, SimMarket] = self.dialect.markets
        self.credentials = {c.key: c for c in credentials}
        self.rules = {(rule.asset, rule.network): rule for rule in rules}
        self.faults = FaultBox()

    # -- orders

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
        raise NotImplementedError

    def cancel(self, order_id: int) -> SimOrder:
        raise NotImplementedError

    def order(
        self, *, order_id: int | None = None, client_id: str | None = None
    ) -> SimOrder | None:
        """By client id the newest."""
        raise NotImplementedError

    def orders(self, *, symbol: str | None = None, since_ms: int | None = None) -> list[SimOrder]:
        """Oldest first."""
        raise NotImplementedError

    def fills(
        self,
        *,
        symbol: str | None = None,
        order_id: int | None = None,
        since_ms: int | None = None,
        from_id: int | None = None,
    ) -> list[SimFill]:
        """Oldest first."""
        raise NotImplementedError

    # -- account

    def balances(self) -> dict[str, SimBalance]:
        raise NotImplementedError

    def deposit_address(self, asset: str, network: str) -> str:
        """In lower case."""
        raise NotImplementedError

    def deposits(self, since_ms: int = 0) -> list[SimDeposit]:
        raise NotImplementedError

    def withdraw(
        self, *, client_id: str | None, asset: str, network: str, address: str, amount: int
    ) -> SimWithdrawal:
        """Takes it from the balance; the chain's loop sends it. A known client id: at Coinbase the
        first withdrawal again, at Binance refused."""
        raise NotImplementedError

    def withdrawals(self, since_ms: int = 0) -> list[SimWithdrawal]:
        raise NotImplementedError

    # -- books

    def book(self, symbol: str, depth: int = 500) -> SimBook:
        raise NotImplementedError

    def set_mid(self, symbol: str, price: int | None) -> None:
        """By hand; None: follow the sandbox's feeds again."""
        raise NotImplementedError

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[SimEvent]]:
        """News from now on; public (BOOK) and private ones in one queue."""
        raise NotImplementedError
