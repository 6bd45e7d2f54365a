"""What every venue is asked for and answers, in one language (VENUES 2, 3).

All quantities, prices, amounts and fees are integers of 10**-18 of their asset
(`exchanges.numbers`); a price is quote per base. Symbols are ours, `ETH-EUR`, base first; networks
are CAIP-2. Times are wall time, UTC. Values only: nothing here knows a table or an SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Venue(StrEnum):
    """An exchange that we have an account with."""

    BINANCE = "binance"
    """Binance spot."""
    COINBASE = "coinbase"
    """Coinbase Advanced Trade."""


class Side(StrEnum):
    """What an order does with the base asset."""

    BUY = "buy"
    """Gives quote, gets base."""
    SELL = "sell"
    """Gives base, gets quote."""


class VenueOrderStatus(StrEnum):
    """What a venue says of an order."""

    OPEN = "open"
    """It may still fill."""
    FILLED = "filled"
    """All of it was executed."""
    CANCELLED = "cancelled"
    """Ended by the venue or by us, perhaps filled in part: IOC's rest, expired, cancelled."""
    REFUSED = "refused"
    """It never entered the book."""


class TransferStatus(StrEnum):
    """A deposit to a venue, or a withdrawal from it."""

    PENDING = "pending"
    """Known, not final; it may lack a transaction yet."""
    DONE = "done"
    """Credited, or confirmed on its way out with a transaction."""
    FAILED = "failed"
    """Refused, cancelled or returned; the balance is whole again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A symbol and its rules. `native` is the venue's own name. `max_quantity` and
    `max_notional` None: no such limit. `taker_fee` is a fraction (0.001: 0.1 %)."""

    symbol: str
    native: str
    base: str
    quote: str
    tick: int
    step: int
    min_quantity: int
    max_quantity: int | None
    min_notional: int
    max_notional: int | None
    taker_fee: int
    trading: bool


@dataclass(frozen=True, slots=True)
class Level:
    """A price in a book and how much of the base stands there."""

    price: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A symbol's book: bids from the highest, asks from the lowest. `sequence` grows with each
    change at the venue; `at` is when we received it."""

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    sequence: int
    at: datetime

    @property
    def mid(self) -> int | None:
        """Between the best two, rounded down; None when a side is empty."""
        return (self.bids[0].price + self.asks[0].price) // 2 if self.bids and self.asks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOrder:
    """What we send: always LIMIT, immediate or cancel. `client_id` is ours and never empty."""

    client_id: str
    symbol: str
    side: Side
    quantity: int
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """What the venue holds of an order of ours. `filled` in base, `quote_filled` in quote;
    `reason` is the venue's word for why it ended."""

    venue_id: str
    client_id: str
    symbol: str
    side: Side
    quantity: int
    price: int
    filled: int
    quote_filled: int
    status: VenueOrderStatus
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution. `id` is unique within (venue, symbol). `fee` is positive when we pay it.

    `amends`: the venue's word where it is none, but undoes or corrects one (REVERSAL). Its sizes
    are what the venue writes; what they do to the account is documented nowhere, and nobody books
    it by itself.
    """

    id: str
    venue_id: str
    symbol: str
    side: Side
    price: int
    quantity: int
    quote_quantity: int
    fee: int
    fee_asset: str
    at: datetime
    amends: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds of an asset: `free` to use, `locked` by orders or withdrawals."""

    free: int
    locked: int

    @property
    def total(self) -> int:
        return self.free + self.locked


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalOrder:
    """What we send. `client_id` is ours: the venue does it once. `amount` is what its account is
    asked to give; `fee` the venue takes says whether it comes on top (`VenueWithdrawal`)."""

    client_id: str
    asset: str
    network: str
    address: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueDeposit:
    """Money that reached the venue: coins by a network, fiat by a bank (`network`, `address` and
    `tx_hash` None). `amount` is what the account got, `fee` what the venue says that it kept of it
    besides. `tx_hash` in lower case, with 0x."""

    id: str
    asset: str
    network: str | None
    address: str | None
    amount: int
    tx_hash: str | None
    status: TransferStatus
    at: datetime
    fee: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueWithdrawal:
    """Money that leaves the venue. `amount` is what arrives, `fee` what it costs besides, in the
    same asset: the account is less by both. `client_id` None: not ordered by us."""

    id: str
    client_id: str | None
    asset: str
    network: str
    address: str
    amount: int
    fee: int
    tx_hash: str | None
    status: TransferStatus
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRule:
    """How an asset leaves to a network: what it costs, the least, and how finely (`step`)."""

    asset: str
    network: str
    fee: int
    minimum: int
    step: int
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BookUpdate:
    """News of the public stream: one book as it is now, or None when a gap was seen and books are
    not to be trusted until the next one. A heartbeat has neither a symbol nor a book."""

    symbol: str | None
    book: Book | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdate:
    """News of the private stream: it wakes whoever polls, and proves nothing (VENUES 2).
    `client_id` None: a balance changed."""

    client_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`clock_offset_ms`: the venue's clock less ours. `used_weight_percent`: of its tightest
    limit, None where it tells none. `problem`: one plain sentence, None when all is well."""

    clock_offset_ms: int
    used_weight_percent: int | None
    problem: str | None
