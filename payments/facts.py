"""The words of an invoice's judgement: its states, the facts it rests on, the answer (MONEY 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.accounts import Debt

Pair = tuple[str, str]  # network, asset


class Status(StrEnum):
    """Where an invoice stands."""

    NEW = "new"
    """Not paid enough yet, and not closed."""
    PROCESSING = "processing"
    """Paid enough, not confirmed enough."""
    SETTLED = "settled"
    """Confirmed enough, or marked so."""
    EXPIRED = "expired"
    """Closed without enough: past its deadline on every network, or cancelled."""
    INVALID = "invalid"
    """Everything paid in time was taken back by the chain, or marked so."""


class Irregularity(StrEnum):
    """What is unusual about it: the API's `exception`. In the order of precedence."""

    MARKED = "marked"
    """A person decided (mark or cancel)."""
    REVERSED = "reversed"
    """It was settled once and the chain took money back."""
    PAID_OVER = "paid_over"
    """More was paid than owed."""
    PAID_LATE = "paid_late"
    """Something arrived after the deadline."""
    PAID_PARTIAL = "paid_partial"
    """Something, but not enough, was paid."""
    NONE = "none"
    """Nothing unusual."""


class InboxReason(StrEnum):
    """Why a deposit is not simply an invoice's payment."""

    HELD = "held"
    """Screening holds it."""
    DUST = "dust"
    """Worth less than the smallest unit of the house currency."""
    UNEXPECTED_NETWORK = "unexpected_network"
    """On a network that the invoice did not offer."""
    UNEXPECTED_ASSET = "unexpected_asset"
    """In an asset that the invoice did not offer there."""
    LATE = "late"
    """After the deadline, or after a cancellation."""
    PARTIAL = "partial"
    """In time, but the invoice closed without enough."""
    OVERPAID = "overpaid"
    """The last deposit of an invoice that was paid more than owed."""


@dataclass(frozen=True, slots=True)
class OptionFact:
    """A way to pay, as locked at creation. `rate` is currency per asset, times 10^18."""

    decimals: int
    quote_decimals: int
    amount: int
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositFact:
    """A deposit to the invoice's address. `price_when_seen` like OptionFact.rate, if known."""

    id: UUID
    pair: Pair
    decimals: int
    amount: int
    status: str  # pending, confirmed, orphaned
    block_time: datetime
    held: bool = False
    dust: bool = False
    resolution: str | None = None
    price_when_seen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFact:
    """The invoice as it was made, what people decided since, and all its deposits in order."""

    amount: int
    currency_decimals: int
    tolerance: int
    expires_at: datetime
    cancelled_at: datetime | None = None
    mark: str | None = None
    first_settled_at: datetime | None = None
    options: Mapping[Pair, OptionFact]
    deposits: Sequence[DepositFact] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one deposit. `value` is in the currency's base units, None without a price.

    `account` is where its debt belongs now; None when the chain took it back.
    """

    value: int | None
    counted: bool
    inbox: InboxReason | None
    account: Debt | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """The invoice's state; paid and confirmed in the currency's base units."""

    status: Status
    irregularity: Irregularity
    paid: int
    confirmed: int
    verdicts: dict[UUID, Verdict]
    excess: int = 0
