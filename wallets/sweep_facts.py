"""What a sweep is, from all the facts about it: pure, recomputed each time.

The factory's events say what was moved, whoever sent the transaction; our own transactions say
when it is over. No state is reached by remembering, so a fork needs no case of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wallets.transactions import ENDED
from wallets.transactions import Status as Sent


class Status(StrEnum):
    """Where a sweep stands."""

    REQUESTED = "requested"
    """Asked for; what it takes is not settled yet."""
    APPROVED = "approved"
    """What it takes is settled, and no other sweep can take it; nothing is sent."""
    SENDING = "sending"
    """Transactions are on their way into a block."""
    IN_TRANSIT = "in_transit"
    """Blocks carry all of them, not deep enough yet."""
    DONE = "done"
    """Something is at the treasury for good, or there was nothing to sweep."""
    FAILED = "failed"
    """Nothing was moved."""


OVER = (Status.DONE, Status.FAILED)


class ItemOutcome(StrEnum):
    """What became of one asset at one address."""

    SWEPT = "swept"
    """The factory told that it left."""
    EMPTY = "empty"
    """Somebody else had swept it before it was planned here."""
    FAILED = "failed"
    """The token refused: it stays, and is tried again later."""
    UNSENT = "unsent"
    """The transaction did nothing: it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFact:
    """A transaction of the sweep, as it stands in the chain now. `worked`: a block carries it,
    and it was neither reverted nor replaced by a cancel."""

    status: str
    worked: bool = False
    reason: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFact:
    """`moved`: by the events that stand. `gone`: by the books the address holds none of it."""

    moved: int
    gone: bool
    transaction: TransactionFact | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reasons` are stable words."""

    status: Status
    reasons: tuple[str, ...] = ()


def judge_item(fact: ItemFact) -> ItemOutcome | None:
    """None: the chain has not spoken yet."""
    if fact.moved:
        return ItemOutcome.SWEPT
    sent = fact.transaction
    if sent is None:
        return None
    if sent.worked:
        return ItemOutcome.EMPTY if fact.gone else ItemOutcome.FAILED
    return ItemOutcome.UNSENT if sent.ended else None


def judge(
    *,
    planned: bool,
    waits: str | None,
    outcomes: Sequence[ItemOutcome | None],
    transactions: Sequence[TransactionFact],
) -> Judgement:
    """waits: why its transactions are not asked for yet."""
    if not planned:
        return Judgement(Status.REQUESTED, (waits,) if waits else ())
    if not outcomes:
        return Judgement(Status.DONE, ("nothing_to_sweep",))
    if not transactions:
        return Judgement(Status.APPROVED, (waits,) if waits else ())
    if not all(t.ended for t in transactions):
        mined = all(t.ended or t.status == Sent.MINED for t in transactions)
        return Judgement(Status.IN_TRANSIT if mined else Status.SENDING)
    why = [t.reason for t in transactions if t.reason and not t.worked]
    if ItemOutcome.FAILED in outcomes:
        why.append("token_refused")
    moved = ItemOutcome.SWEPT in outcomes or set(outcomes) <= {ItemOutcome.EMPTY}
    return Judgement(Status.DONE if moved else Status.FAILED, tuple(dict.fromkeys(why)))
