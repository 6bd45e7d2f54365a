"""The words of reconciliation: what is compared, what a comparison found, what a Break tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from ledger.breaks import Difference

PREFIX = "reconciliation:"
MOST_NAMED = 500  # differences of one comparison that are named one by one


class Scope(StrEnum):
    """What a run looks at."""

    CHAIN = "chain"
    """Balances on chain, the blocks that were read, and the ledger's own soundness."""
    EXCHANGES = "exchanges"
    """Balances, fills, deposits and withdrawals at the venues."""
    INVOICES = "invoices"
    """Invoices and deposits against the entries that they made."""
    ALL = "all"
    """Everything."""


class Status(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    """Asked for, or under way."""
    CLEAN = "clean"
    """Everything in its scope was compared, and nothing differs."""
    BREAKS = "breaks"
    """Everything was compared; what differs stands as Breaks, new ones or known ones."""
    FAILED = "failed"
    """Not everything could be read: what was not is named, what was is proved all the same."""


class AddressFacts(TypedDict):
    """Of an address on chain. Amounts are base units as text."""

    network: str
    block_number: int
    block_hash: str
    address: str
    token: str
    expected_units: str
    actual_units: str
    deposits: list[str]


class PlaceFacts(TypedDict):
    """Of a place: all addresses of one role on a network together."""

    network: str
    block_number: int
    block_hash: str
    addresses: dict[str, str]
    by_address: str | None


class FillFacts(TypedDict):
    """Of an execution at a venue. Amounts are units of 10^-18 as text."""

    venue: str
    symbol: str
    fill: str
    order: str
    side: str
    price: str
    quantity: str
    quote_quantity: str
    fee: str
    fee_asset: str
    at: str
    booked: bool
    reason: str


class TransferFacts(TypedDict):
    """Of money that came to a venue or left it."""

    venue: str
    direction: str
    transfer: str
    client_id: str | None
    network: str | None
    address: str | None
    tx_hash: str | None
    status: str
    fee: str
    at: str


class DepositFacts(TypedDict):
    """Of a deposit of ours, and its entries."""

    deposit: str
    invoice: str | None
    network: str
    address: str
    tx_hash: str
    position: str
    block_number: int
    block_hash: str
    reason: str


class BlockFacts(TypedDict):
    """Of the blocks that were read: `first` to `last` are concerned."""

    network: str
    first: int
    last: int
    hash: str | None
    expected_hash: str | None
    reason: str


class LedgerFacts(TypedDict):
    """Of the ledger itself."""

    problem: str
    entry: str | None
    account: str | None
    reason: str


@dataclass(slots=True)
class Part:
    """One comparison of a run. `name` begins the keys of its Breaks; those that it does not find
    again are closed, so a comparison that was not finished has no Part."""

    name: str
    compared: int = 0
    differing: int = 0
    found: list[Difference] = field(default_factory=list)
    block: dict[str, Any] | None = None
    venue: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    # names of marks -> (position, hash), stored with the part
    marks: dict[str, tuple[int, str]] = field(default_factory=dict)
    # keys of Breaks that could not be judged this time: they stand as they are
    unjudged: set[str] = field(default_factory=set)
    # why some of it was not compared
    unread: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"{PREFIX}{self.name}:"

    @property
    def all_named(self) -> bool:
        """Whether a Break of this part that was not found again is really gone."""
        return self.differing == len(self.found)

    def add(self, difference: Difference) -> None:
        self.differing += 1
        if len(self.found) < MOST_NAMED:
            self.found.append(difference)

    def key(self, *detail: object) -> str:
        return self.prefix + ":".join(str(one) for one in detail)

    def result(self) -> dict[str, Any]:
        """As the run keeps it."""
        return {"compared": self.compared, "differences": self.differing, **self.facts}


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be compared, and why."""

    part: str
    reason: str


def parts_json(unread: Sequence[Unread]) -> list[dict[str, str]]:
    return [{"part": one.part, "reason": one.reason} for one in unread]
