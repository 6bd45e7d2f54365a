"""What a transaction of ours is, and what is to be done about it: one pure function of facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chain.broadcast import Presence
from chain.refusals import Refusal
from core.networks import Network
from wallets.transactions import Status

ACCEPTED = "accepted"  # the outcome of bytes that a pool took
INTENT, CANCEL = "intent", "cancel"  # kinds of a variant


class Action(StrEnum):
    """What to do now."""

    WAIT = "wait"
    """Nothing: a block, or somebody else, has the next word."""
    SEND = "send"
    """Sign it at the next nonce."""
    RESEND = "resend"
    """Hand the newest variant's bytes to nodes again: always safe."""
    BUMP = "bump"
    """Sign another variant with higher fees."""
    CANCEL = "cancel"
    """Sign a self-send of nothing at the same nonce."""
    DISPUTE = "dispute"
    """A transaction that is none of ours seems to have used the nonce: look again, then tell."""
    RENEW = "renew"
    """It has, for good: no variant can ever be mined, so a new nonce cannot pay twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A receipt of a variant in a block that was applied."""

    kind: str
    succeeded: bool
    deep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known. `count` is the wallet's transaction count at the head, None: not asked;
    `final_count` the one at a block that is final and was applied, None: not known.

    outbid: others offer more than the newest variant. can_bump: the caps allow a next one.
    waited: it has stood for longer than the network's policy allows.
    """

    nonce: int | None
    mined: Mined | None = None
    cancel_asked: bool = False
    kind: str = INTENT  # the newest variant's
    outcome: str | None = None  # what handing it to nodes brought; None: nobody knows
    presence: Presence = Presence.ABSENT  # the newest variant's
    any_mined: bool = False  # by the word of a node
    count: int | None = None
    final_count: int | None = None
    outbid: bool = False
    waited: bool = False
    can_bump: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason`: why it does not go on, for people; None while all is well."""

    status: Status
    action: Action
    reason: str | None = None


def judge(facts: Facts) -> Judgement:
    """The whole state machine."""
    if facts.mined is not None:
        return _by_receipt(facts.mined)
    if facts.nonce is None:
        if facts.cancel_asked:
            return Judgement(Status.CANCELLED, Action.WAIT, "cancelled")
        return Judgement(Status.PREPARED, Action.SEND)
    if facts.any_mined:  # the block that carries it is being applied
        return Judgement(Status.SENT, Action.WAIT)
    if facts.count is not None and facts.count > facts.nonce:
        return _foreign(facts, facts.nonce)
    return _unmined(facts)


def _by_receipt(mined: Mined) -> Judgement:
    if not mined.deep:
        return Judgement(Status.MINED, Action.WAIT)
    if mined.kind == CANCEL:
        return Judgement(Status.CANCELLED, Action.WAIT, "cancelled")
    if mined.succeeded:
        return Judgement(Status.CONFIRMED, Action.WAIT)
    return Judgement(Status.FAILED, Action.WAIT, "reverted")


def _foreign(facts: Facts, nonce: int) -> Judgement:
    """The chain went past the nonce, and no node shows a variant of ours in a block."""
    if facts.final_count is not None and facts.final_count > nonce:
        if facts.cancel_asked:
            return Judgement(Status.CANCELLED, Action.WAIT, "nonce_used")
        return Judgement(Status.PREPARED, Action.RENEW, "nonce_used")
    return Judgement(Status.SENT, Action.DISPUTE, "nonce_used")


def _unmined(facts: Facts) -> Judgement:
    dead = facts.outcome == Refusal.FINAL and facts.presence is Presence.ABSENT
    if (facts.cancel_asked or dead) and facts.kind != CANCEL:
        if facts.can_bump:
            return Judgement(Status.SENT, Action.CANCEL, "refused" if dead else None)
        return Judgement(Status.SENT, _again(facts), "fee_cap_reached")
    if dead:  # a self-send that no node will ever take: a person must look at the nodes
        return Judgement(Status.SENT, Action.RESEND, "refused")
    low = facts.outcome in (Refusal.FEE_TOO_LOW, Refusal.UNDERPRICED)
    pressed = facts.outcome == Refusal.UNDERPRICED and facts.presence is Presence.ABSENT
    if pressed or (facts.outbid and (facts.waited or low)):
        if facts.can_bump:
            return Judgement(Status.SENT, Action.BUMP)
        return Judgement(Status.SENT, _again(facts), "fee_cap_reached")
    if facts.outcome == Refusal.NO_FUNDS:
        return Judgement(Status.SENT, _again(facts), "hot_wallet_short")
    return Judgement(Status.SENT, _again(facts))


def _again(facts: Facts) -> Action:
    """Dropped from the pools, or never there: the same bytes once more."""
    return Action.RESEND if facts.presence is Presence.ABSENT else Action.WAIT


def deep(
    network: Network, block_number: int, cursor: int, safe: int | None, finalized: int | None
) -> bool:
    """Whether a block lies deep enough for what leaves: by the strictest tier, the last one."""
    required = network.tiers[-1].required
    if required == "safe":
        return safe is not None and safe >= block_number
    if required == "finalized":
        return finalized is not None and finalized >= block_number
    return cursor - block_number + 1 >= int(required)


FINAL_BLOCKS = 1024  # where a network tells no finality, a block this deep is taken for final


def final_block(cursor: int, finalized: int | None) -> int:
    """The highest block at or below the cursor that no fork can take back any more."""
    return cursor - FINAL_BLOCKS if finalized is None else min(finalized, cursor)
