"""What a simulated venue holds. All amounts, quantities and prices are integers of 10**-18
(`exchanges.numbers`); times are wall time in milliseconds; symbols are ours, `ETH-EUR`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a venue refuses; each server spells it in its own dialect."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    """No such market here."""
    MARKET_CLOSED = "market_closed"
    """There is no price to quote around yet."""
    FILTER_TICK = "filter_tick"
    """The price is not positive or not a multiple of the tick."""
    FILTER_STEP = "filter_step"
    """The quantity is not a multiple of the step."""
    FILTER_QUANTITY = "filter_quantity"
    """The quantity is below the least or above the most."""
    FILTER_NOTIONAL = "filter_notional"
    """Quantity times price is too little."""
    INSUFFICIENT = "insufficient"
    """The account's free balance is too small."""
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    """The client id is in use."""
    UNKNOWN_ORDER = "unknown_order"
    """No such order, or it is not open any more."""
    UNKNOWN_NETWORK = "unknown_network"
    """This asset neither comes nor leaves there."""
    MINIMUM = "minimum"
    """Less than may be withdrawn, or finer than the asset on its network."""
    BAD_ADDRESS = "bad_address"
    """That is no address."""


class Rejected(Exception):
    """A venue refuses; nothing was done."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class OrderStatus(StrEnum):
    """Where an order is."""

    OPEN = "open"
    """It rests in the book."""
    FILLED = "filled"
    """All of it was executed."""
    CANCELLED = "cancelled"
    """Cancelled by its owner, perhaps after fills."""
    EXPIRED = "expired"
    """An IOC's rest, or a FOK that could not be filled."""


class TransferStatus(StrEnum):
    """Where a deposit or a withdrawal is."""

    PENDING = "pending"
    """A deposit without enough confirmations, or one that a bank has announced; a withdrawal that
    is not signed yet."""
    CREDITED = "credited"
    """A deposit in the balance."""
    SENT = "sent"
    """A withdrawal with a transaction."""
    DONE = "done"
    """A withdrawal with a confirmation."""
    FAILED = "failed"
    """A withdrawal whose transaction reverted; the balance is whole again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimMarket:
    """A market's rules; fees are fractions (10**15: 0.1 %)."""

    symbol: str
    base: str
    quote: str
    tick: int
    step: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    taker_fee: int
    maker_fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNetworkRule:
    """How an asset comes and leaves on a network (CAIP-2). `contract` None: the network's coin.
    `step` is the base unit on chain."""

    asset: str
    network: str
    contract: str | None
    decimals: int
    fee: int
    minimum: int

    @property
    def step(self) -> int:
        return int(10 ** (18 - self.decimals))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOrder:
    """An order as it is at one moment. `side` is buy or sell, `tif` is IOC, GTC or FOK; `fees` is
    what its fills cost, in their fee asset."""

    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    tif: str
    quantity: int
    price: int
    filled: int
    quote_filled: int
    fees: int
    status: OrderStatus
    reason: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimFill:
    """An execution; `id` is unique at the venue and grows."""

    id: int
    order_id: int
    client_id: str
    symbol: str
    side: str
    price: int
    quantity: int
    quote_quantity: int
    fee: int
    fee_asset: str
    at: int
    maker: bool


@dataclass(frozen=True, slots=True)
class SimBalance:
    """What the account holds of an asset."""

    free: int
    locked: int


@dataclass(frozen=True, slots=True)
class SimBook:
    """The best levels as (price, quantity): bids from the highest, asks from the lowest."""

    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimBookChange:
    """Levels that changed, as (price, quantity now); 0: gone. A change follows on the one whose
    `last` is this one's `first` less one; a book's `sequence` is a `last`."""

    symbol: str
    first: int
    last: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimBalanceChange:
    """An asset's balance after something happened."""

    asset: str
    free: int
    locked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimDeposit:
    """Money on its way in; `id` names transaction and position."""

    id: str
    asset: str
    network: str
    address: str
    amount: int
    tx_hash: str
    confirmations: int
    status: TransferStatus
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimFiatDeposit:
    """A bank's transfer to our account. `amount` is what was sent; the venue keeps `fee` of it."""

    id: str
    asset: str
    amount: int
    fee: int
    status: TransferStatus
    at: int
    changed_at: int

    @property
    def credited(self) -> int:
        return self.amount - self.fee


@dataclass(frozen=True, slots=True, kw_only=True)
class SimWithdrawal:
    """Money on its way out. `amount` arrives; the account gave `amount` and `fee`."""

    id: str
    client_id: str | None
    asset: str
    network: str
    address: str
    amount: int
    fee: int
    tx_hash: str | None
    status: TransferStatus
    at: int


class EventKind(StrEnum):
    """What happened; in brackets the payload."""

    BOOK = "book"
    """A book changed (SimBookChange)."""
    ORDER = "order"
    """An order came, rests or ended other than by a fill (SimOrder)."""
    FILL = "fill"
    """An order of ours was executed (SimFill; `order` is the order after it)."""
    BALANCE = "balance"
    """A balance changed (SimBalanceChange)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimEvent:
    """One piece of news, in the order of happening: order, its fills, its end, balances, book."""

    kind: EventKind
    payload: SimBookChange | SimOrder | SimFill | SimBalanceChange
    order: SimOrder | None = None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An API key that a venue knows: `secret` for HMAC, or `public` (PEM) for signatures by
    Ed25519 or ES256."""

    key: str
    secret: str | None = None
    public: str | None = None
