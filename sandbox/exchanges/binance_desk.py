"""What every answer of the Binance simulator needs: the engine, its names, its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exchanges.types import Venue
from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.binance_limits import WEIGHT, Limits
from sandbox.exchanges.binance_parameters import Parameters
from sandbox.exchanges.binance_shapes import native
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.markets import NETWORK_WORDS
from sandbox.exchanges.types import Reason, Rejected, SimMarket

SAPI_WEIGHT = 12_000  # of the address, by minute
UID_WEIGHT = 180_000  # of the account, by minute, and by second where the wallet counts so

_REFUSALS: dict[Reason, Callable[[], Problem]] = {
    Reason.UNKNOWN_SYMBOL: errors.bad_symbol,
    Reason.MARKET_CLOSED: lambda: Problem(-1013, "Market is closed."),
    Reason.FILTER_TICK: lambda: errors.filter_failure("PRICE_FILTER"),
    Reason.FILTER_STEP: lambda: errors.filter_failure("LOT_SIZE"),
    Reason.FILTER_QUANTITY: lambda: errors.filter_failure("LOT_SIZE"),
    Reason.FILTER_NOTIONAL: lambda: errors.filter_failure("NOTIONAL"),
    Reason.INSUFFICIENT: errors.insufficient_balance,
    Reason.DUPLICATE_CLIENT_ID: errors.duplicate_order,
    Reason.UNKNOWN_ORDER: errors.unknown_order,
}


def refusal(rejected: Rejected) -> Problem:
    """The engine's reason in the words of the trading endpoints."""
    return _REFUSALS[rejected.reason]()


class Desk:
    """One simulated Binance. `weight`: what one address may use in a minute; the other limits
    grow with it."""

    def __init__(self, simulator: Simulator, weight: int = WEIGHT) -> None:
        self.simulator = simulator
        self.limits = Limits(weight)
        self.wallet_limits = Limits(SAPI_WEIGHT * max(1, weight // WEIGHT))
        self.account_limits = {
            letter: Limits(UID_WEIGHT * max(1, weight // WEIGHT), letter) for letter in "MS"
        }
        self.markets = {native(symbol): rules for symbol, rules in simulator.markets.items()}
        self.words = NETWORK_WORDS[Venue.BINANCE]
        self.cancel_ids: dict[int, str] = {}  # of cancellations, by order
        self.closing = asyncio.Event()

    def market(self, name: str) -> SimMarket:
        """By the venue's name. Raises Problem -1121."""
        rules = self.markets.get(name)
        if rules is None:
            raise errors.bad_symbol()
        return rules

    def trades(self, rules: SimMarket) -> bool:
        """Whether there is a price to quote around."""
        try:
            book = self.simulator.book(rules.symbol, 1)
        except Rejected:
            return False
        return bool(book.bids and book.asks)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed its checks. `fault` is the engine's part of a switched fault."""

    desk: Desk
    parameters: Parameters
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method and path. `weight` may depend on the parameters; `uid_weight` counts by account,
    in a minute or a second (`uid_interval`). `orders`: it succeeds without weight and tells the
    order count. `known` are the parameters besides those of every signed request; None: all are
    read (the wallet's servers refuse none).
    """

    handler: Callable[[Call], Any]
    operation: Operation
    weight: int | Callable[[Parameters], int] = 1
    uid_weight: int = 0
    uid_interval: str = "M"
    signed: bool = True
    orders: bool = False
    known: frozenset[str] | None = field(default_factory=frozenset)

    def cost(self, parameters: Parameters) -> int:
        return self.weight(parameters) if callable(self.weight) else self.weight
