"""What a person's word about a Break would post: decided from the Break alone. Pure.

What may be booked depends on where the difference is: only an account of the ledger can take an
entry, a sum that contradicts itself cannot be mended by one, and what is only under way books
itself when it arrives.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from core import ids
from ledger.accounts import EQUITY, EXCHANGE_FEES, LOSSES, SUSPENSE, Role
from ledger.breaks import BreakKind
from ledger.journal import Kind, Posting, transfer
from ledger.tables import BreakRow
from reconciliation.parts import PREFIX


class Resolution(StrEnum):
    """How a Break may be resolved by a person."""

    EXPLAINED = "explained"
    """The note says why it is so. Nothing is posted; as long as the difference stays the same, it
    does not open again."""
    BOOK_TRADE = "book_trade"
    """The books take an execution as the venue shows it: both assets against `trading`, its fee as
    `expense:exchange_fees`."""
    WRITE_OFF = "write_off"
    """The books take what is there; the difference is the house's loss or gain
    (`expense:losses`), or, of a move that arrived with less, what it cost
    (`expense:exchange_fees`). Of a move that does not arrive it is what is in transit at this
    moment, and the move is over."""
    BOOK_TO_SUSPENSE = "book_to_suspense"
    """The books take what is there; the difference waits in `suspense` for what it was."""
    OWNER_FUNDS = "owner_funds"
    """The books take what is there: the owner put it in, or took it out (`equity`)."""


AGAINST = {
    Resolution.WRITE_OFF: LOSSES,
    Resolution.BOOK_TO_SUSPENSE: SUSPENSE,
    Resolution.OWNER_FUNDS: EQUITY,
}


@dataclass(frozen=True, slots=True)
class Booking:
    """What a resolution posts: `debit` gets `amount` of the asset, or gives it when that is
    negative. `fee`: how much of what it gives is what a venue took for it. `holding`: (network,
    address) whose books it belongs to besides. `key`: what makes the entry happen once, where the
    Break itself does not; `kind`: why it is made."""

    debit: str
    amount: int
    allowed: Collection[Resolution]
    fee: int = 0
    holding: tuple[str, str] | None = None
    key: str | None = None
    kind: Kind = Kind.BREAK_RESOLVED

    def postings(self, asset: str, chosen: Resolution) -> tuple[Posting, ...]:
        rest = transfer(asset, self.amount + self.fee, debit=self.debit, credit=AGAINST[chosen])
        charged = transfer(asset, self.fee, debit=EXCHANGE_FEES, credit=self.debit)
        return tuple(line for line in (*rest, *charged) if line.amount)


def booking(row: BreakRow) -> Booking | None:
    """None where no entry of one asset can put it right."""
    if row.asset is None or row.expected is None or row.actual is None:
        return None
    difference = row.actual - row.expected
    if not difference:
        return None
    everything = tuple(AGAINST)
    # The place has it, and suspense owes it.
    if row.key.startswith(("unknown_inflow:", "bank_line:")):
        return Booking(SUSPENSE, difference, (Resolution.WRITE_OFF, Resolution.OWNER_FUNDS))
    # What left and what arrived differ: somebody on the way has kept it.
    if row.key.startswith("move:") and row.kind == BreakKind.AMOUNT:
        return Booking(row.place, -difference, (Resolution.WRITE_OFF,), fee=max(0, difference))
    if row.key.startswith("overdrawn:"):
        return Booking(row.place, difference, (Resolution.WRITE_OFF,))
    if not row.key.startswith(PREFIX) or row.kind == BreakKind.TIMING:
        return None
    part, rest = _named(row.key)
    if part == "chain" and rest.startswith("place:"):
        return Booking(row.place, difference, everything)
    if part == "chain" and rest.startswith(f"{Role.DEPOSITS}:"):
        holding = row.facts["network"], row.facts["address"]
        return Booking(row.place, difference, everything, holding=holding)
    if part == "venue" and rest.startswith("balance:"):
        return Booking(row.place, difference, everything)
    if part == "venue" and rest.startswith(("deposit:", "withdrawal:")):
        return _transfer(row, difference, rest)
    return None


def _transfer(row: BreakRow, difference: int, name: str) -> Booking:
    """What came to a venue or left it. The first entry of one that nobody ordered carries the
    venue's own id; what is said of it later is a correction."""
    everything = tuple(AGAINST)
    if row.kind != BreakKind.MISSING_IN_LEDGER:
        return Booking(row.place, difference, everything)
    fee = int(row.facts["fee"]) if name.startswith("withdrawal:") else 0
    key = f"venue_transfer:{row.facts['venue']}:{name}"
    return Booking(row.place, difference, everything, fee, None, key, Kind.VENUE_TRANSFER)


def is_trade(row: BreakRow) -> bool:
    """Whether it is about an execution that the books can take as the venue shows it."""
    if not row.key.startswith(PREFIX) or row.kind == BreakKind.TIMING:
        return False
    part, rest = _named(row.key)
    if part != "venue" or not rest.startswith("fill:"):
        return False
    # An entry without its row: the money is in the books, and what is not cannot be posted.
    return row.kind != BreakKind.MISSING_IN_LEDGER or not row.facts["booked"]


def move_of(row: BreakRow) -> UUID | None:
    """The move that it is about, by its own account or a bank's."""
    name, _, reference = row.key.partition(":")
    return ids.read("mov", reference) if name in ("move", "bank_claim") else None


def is_late(row: BreakRow) -> bool:
    """Whether it is about a move of which something is in transit, and does not arrive."""
    is_under_way = row.kind == BreakKind.TIMING and row.place.startswith("transit:")
    return is_under_way and bool(row.actual) and move_of(row) is not None


def open_to(row: BreakRow) -> list[Resolution]:
    """All that it may be resolved by now. What was explained of a move that is late may have been
    hope."""
    if row.status == "resolved":
        was_explained = row.resolution == Resolution.EXPLAINED
        return [Resolution.WRITE_OFF] if was_explained and is_late(row) else []
    if is_late(row):
        return [Resolution.EXPLAINED, Resolution.WRITE_OFF]
    if is_trade(row):
        return [Resolution.EXPLAINED, Resolution.BOOK_TRADE]
    found = booking(row)
    return [Resolution.EXPLAINED, *(found.allowed if found is not None else ())]


def _named(key: str) -> tuple[str, str]:
    """`reconciliation:chain:eip155:1:deposits:0x..` -> `chain`, `deposits:0x..`."""
    part, _, rest = key.removeprefix(PREFIX).partition(":")
    if part in ("chain", "blocks"):
        rest = rest.partition(":")[2]  # CAIP-2 has a colon of its own
    return part, rest.partition(":")[2]
