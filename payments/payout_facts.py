"""What a payout is, from all the facts about it: one pure function, recomputed each time.

Screening, policy and signer say whether it may leave, people approve or reject it, the chain (or a
bank's statement) says what came of it. No state is reached by remembering.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from risk.rules import Effect
from risk.verdicts import Outcome


class Status(StrEnum):
    """Where a payout stands."""

    REQUESTED = "requested"
    """Its money is set aside; nobody has judged it yet."""
    HELD = "held"
    """Waits for people, or for money that a reversal took: `reasons` say which."""
    APPROVED = "approved"
    """It may leave; what it leaves from may be short."""
    SENDING = "sending"
    """A transaction of ours carries it, or a file that was handed to a bank."""
    PAID = "paid"
    """Deep enough in the chain, or on a bank's statement."""
    FAILED = "failed"
    """The chain refused it, or the bank did: the money is back."""
    REJECTED = "rejected"
    """Nothing left, nothing will: the money is back."""


class Sent(StrEnum):
    """What the block that holds its transaction made of it, or the bank."""

    SENT = "sent"
    """The payee has it."""
    REFUSED = "refused"
    """The payee, or the whole transaction, reverted."""
    DECLINED = "declined"
    """The bank did not carry it out."""
    RETURNED = "returned"
    """The bank brought it back."""


BANK = "bank"  # stands for the network of what leaves to a bank account
ALLOWED = "allowed"  # the signer's word; otherwise its refusal's code
COOLING = "destination_cooling"  # of a bank account: too new to be paid
# Refusals of the signer that time or a person can mend; every other one is for good.
MENDABLE = frozenset({"approval_needed", "velocity_exceeded", "fees_exceeded", COOLING})
_WHY = {Sent.DECLINED: "declined", Sent.RETURNED: "returned"}
OPEN = (Status.REQUESTED, Status.HELD, Status.APPROVED)
OVER = (Status.PAID, Status.FAILED, Status.REJECTED)
BACK = (Status.FAILED, Status.REJECTED)  # its money is where it came from


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutFact:
    """None: not judged yet. `outcome` is of the block that holds it now, `final` says that this
    block is deep enough, or that the transaction will never be in one. What a bank did is final."""

    screening: str | None = None
    policy: str | None = None
    signer: str | None = None
    needed: int = 0
    given: int = 0
    overdrawn: bool = False
    hot_short: bool = False
    rejected: bool = False
    under_way: bool = False
    outcome: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reasons` are stable words, the gravest first."""

    status: Status
    reasons: tuple[str, ...] = ()


def judge(fact: PayoutFact) -> Judgement:
    """The whole rule. What has left is the chain's to judge and nobody else's."""
    if fact.under_way:
        return _under_way(fact)
    if against := _against(fact):
        return Judgement(Status.REJECTED, against)
    waits = _waits(fact)
    if waits and (fact.overdrawn or _judged(fact)):
        return Judgement(Status.HELD, waits)
    if not _judged(fact):
        return Judgement(Status.REQUESTED)
    return Judgement(Status.APPROVED, ("hot_wallet_short",) if fact.hot_short else ())


def _under_way(fact: PayoutFact) -> Judgement:
    if not fact.final or fact.outcome is None:
        return Judgement(Status.SENDING)
    if fact.outcome == Sent.SENT:
        return Judgement(Status.PAID)
    return Judgement(Status.FAILED, (_WHY.get(Sent(fact.outcome), "reverted"),))


def _judged(fact: PayoutFact) -> bool:
    return None not in (fact.screening, fact.policy, fact.signer)


def _against(fact: PayoutFact) -> tuple[str, ...]:
    """What ends it for good."""
    refused = fact.signer not in (None, ALLOWED, *MENDABLE)
    found = (
        ("rejected", fact.rejected),
        ("screening", fact.screening == Outcome.REJECT),
        ("policy", fact.policy == Effect.BLOCK),
        (fact.signer or "", refused),
    )
    return tuple(word for word, holds in found if holds)


def _waits(fact: PayoutFact) -> tuple[str, ...]:
    """What it waits for before it may leave."""
    mendable = fact.signer in MENDABLE and fact.signer != "approval_needed"
    found = (
        ("overdrawn", fact.overdrawn),
        ("screening", fact.screening == Outcome.HOLD),
        (fact.signer or "", mendable),
        ("approval_needed", fact.given < fact.needed),
    )
    return tuple(word for word, holds in found if holds)
