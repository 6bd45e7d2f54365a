"""What requests may hold and answers look like. Answers are documented here, not validated again.

Requests are strict: an unknown field, a number where text is wanted or the like is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from core.money import AMOUNT_PATTERN

Thing = TypeVar("Thing")


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", strict=True, regex_engine="rust-regex")


class Shown(BaseModel):
    """An object as it is shown. Fields may be added in later versions."""

    model_config = ConfigDict(extra="allow")


Amount = Annotated[
    str,
    Field(
        pattern=AMOUNT_PATTERN,
        description="Major units as a decimal string.",
        examples=["25.00"],
    ),
]
Symbol = Annotated[
    str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,19}$", examples=["ETH", "USDC"])
]
Currency = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,19}$",
        description="ISO 4217, or a crypto symbol.",
        examples=["USD"],
    ),
]
NetworkId = Annotated[
    str,
    Field(
        pattern=r"^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$",
        description="CAIP-2.",
        examples=["eip155:31337"],
    ),
]
Reference = Annotated[str, Field(min_length=1, max_length=255, examples=["order-1001"])]
Description = Annotated[str, Field(max_length=1000)]
WebUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[0-9A-Za-z\[][!-~]*$",
        max_length=2048,
        examples=["https://shop.example/thanks"],
    ),
]
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[str, Field(max_length=500)]],
    Field(max_length=50, description="Up to 50 pairs of text, for your own use."),
]
Time = Annotated[
    str, Field(description="RFC 3339, UTC.", json_schema_extra={"format": "date-time"})
]


class Page(BaseModel, Generic[Thing]):
    """A page of a list, newest first."""

    object: Literal["list"]
    data: list[Thing]
    has_more: bool
    next_cursor: str | None


class Deposit(Shown):
    """A transfer on chain to one of our addresses."""

    id: str
    object: Literal["deposit"]
    status: Literal["pending", "confirmed", "orphaned"]
    asset: str
    network: str
    amount: str
    value: str | None = Field(description="In the invoice's currency, at the locked rate.")
    value_currency: str | None
    sender: str | None = Field(alias="from")
    to: str
    via: Literal["address", "router"] = Field(
        description="To the invoice's address, or by a quote through the router to the treasury."
    )
    tx_hash: str | None
    position: str
    invoice: str | None
    wallet: str | None = Field(description="A customer's, to whom it was paid.")
    waiting_for: str | None
    inbox: dict[str, Any] | None = Field(
        description="Why it is not simply an invoice's payment, and what to do."
    )
    value_at: Time | None
    block_number: int
    block_hash: str
    confirmations: int
    confirmations_required: int | str
    created_at: Time
    seen_at: Time
    confirmed_at: Time | None


class PaymentOption(Shown):
    """One way to pay: an asset on a network, and how much of it."""

    asset: str
    network: str
    asset_id: str
    address: str
    amount: str
    amount_due: str
    rate: str
    price: dict[str, Any]
    uri: str


class Waiting(Shown):
    asset: str
    amount: str


class InvoiceSettlement(Shown):
    """What its crypto became by the merchant's `settle_in`, and what waits to be converted."""

    settle_in: Literal["fiat_at_quote", "fiat_at_fill"]
    amount: str
    currency: str
    waiting: list[Waiting]


class Invoice(Shown):
    """What a customer owes, how it may be paid, and what has come."""

    id: str
    object: Literal["invoice"]
    status: Literal["new", "processing", "settled", "expired", "invalid"]
    exception: Literal["none", "paid_partial", "paid_over", "paid_late", "reversed", "marked"]
    amount: str
    currency: str
    amount_paid: str
    amount_confirmed: str
    amount_due: str
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    checkout_url: str
    created_at: Time
    expires_at: Time
    monitored_until: Time
    settled_at: Time | None
    payment_options: list[PaymentOption]
    deposits: list[Deposit]
    settlement: InvoiceSettlement | None = Field(
        description="null: its merchant takes the crypto itself."
    )


class Accepted(BaseModel):
    """An asset on a network."""

    network: str
    asset: str


class Merchant(Shown):
    id: str
    object: Literal["merchant"]
    name: str
    settle_in: Literal["crypto", "fiat_at_quote", "fiat_at_fill"]
    settle_currency: str | None
    spread_percent: str
    payout_fee: Literal["merchant", "house"]
    accepts: list[Accepted] | None
    created_at: Time


class NewlyMadeMerchant(Merchant):
    webhook_secret: str = Field(description="Shown this once.")


class ApiKey(Shown):
    id: str
    object: Literal["api_key"]
    merchant: str | None = Field(description="null: an operator's key.")
    name: str | None
    prefix: str
    scopes: list[str]
    created_at: Time
    last_used_at: Time | None
    revoked_at: Time | None


class NewlyMadeApiKey(ApiKey):
    key: str = Field(description="Shown this once.")


class Network(Shown):
    """How far a network is followed. Null: not yet."""

    id: str
    object: Literal["network"]
    name: str
    height: int | None
    head: int | None
    lag_blocks: int | None
    lag_seconds: int | None
    followed_until: Time | None
    safe: int | None
    finalized: int | None
    stalled: bool | None
    halted: str | None = Field(description="Why nothing is credited, if so.")
    endpoints: list[dict[str, Any]]
    assets: list[dict[str, Any]]
    created_at: Time | None = Field(description="Of the block that it is followed from.")


class Price(Shown):
    """What one `base` costs in `quote`, and who says so."""

    id: str
    object: Literal["price"]
    base: str
    quote: str
    price: str | None
    sources: list[dict[str, Any]] = Field(
        description="`source`, `price`, `observed_at`, `round_id`; `refused` names a reason."
    )
    age_seconds: int | None = Field(description="Of the oldest source that it rests on.")
    created_at: Time | None = Field(description="When the oldest source updated it.")


class TimelineEntry(Shown):
    """One line of an invoice's story: an event, a journal entry or a webhook attempt."""

    at: Time
    kind: Literal["event", "entry", "delivery"]
    id: str
    type: str
    subject: str
