"""One pure function: all facts of a move -> its state, what to do next, and when (DESIGN 4).

A move leaves one place of ours and reaches another. What went out and what came in is told by
blocks, by the venue over REST, or by a bank's statement, never by the call that asked for it: so a
withdrawal without an answer is asked about, and is not sent again unless the venue promises that
the same id does nothing twice. What neither proves stays `sending`, and a person is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from exchanges.types import TransferStatus
from treasury.answers import is_absent
from wallets.sweep_facts import TransactionFact
from wallets.transactions import Status as Sent


class Way(StrEnum):
    """Between which kinds of places."""

    SEND = "send"
    """From a wallet of ours to a venue: our transaction, which the venue credits."""
    WITHDRAW = "withdraw"
    """From a venue to a wallet of ours: the venue's transaction, which a block brings."""
    SHIFT = "shift"
    """Between hot wallet and treasury: one transaction, both places in one block."""
    REMIT = "remit"
    """Fiat from a venue to a bank: a person orders it there, a statement's line ends it."""
    FUND = "fund"
    """Fiat from a bank to a venue: a person orders it at his bank. A statement's line shows that it
    left, the venue's history that it arrived, in either order."""


class MoveStatus(StrEnum):
    """How far a move is known to be."""

    REQUESTED = "requested"
    """Asked for; the venue has not said yet where to, or a person has not allowed it."""
    APPROVED = "approved"
    """It may leave; funds, or somebody else's hand, are awaited."""
    SENDING = "sending"
    """It was sent, and nothing shows yet that it left."""
    IN_TRANSIT = "in_transit"
    """It left the one place and has not reached the other."""
    DONE = "done"
    """It is there."""
    FAILED = "failed"
    """Nothing left, it came back, or a person has written it off."""


OVER = frozenset({MoveStatus.DONE, MoveStatus.FAILED})


class Action(StrEnum):
    """What a step does next."""

    CHECK = "check"
    """Ask the venue where it takes this, or what it asks of a withdrawal."""
    LEAVE = "leave"
    """Ask for the transaction, or store that a withdrawal leaves and order it."""
    ASK = "ask"
    """Ask the venue what it holds of it."""
    LOOK = "look"
    """Judge again: blocks, people and banks have the next word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """`polling`: over which time a withdrawal must be absent, and `absent` times at least, before
    it may be sent again where that is safe. After `tell` without proof a person is told, and after
    `late` of what is in transit still. `soonest` and `latest`: between two questions. `watch`: how
    long one that is over is looked at, every `watch_every`. `again`: where funds are short. `fiat`:
    between two questions about what a bank brought, which are dear; banks are slower: `late_fiat`.
    """

    polling: timedelta = timedelta(seconds=60)
    absent: int = 3
    tell: timedelta = timedelta(seconds=120)
    late: timedelta = timedelta(hours=1)
    soonest: timedelta = timedelta(milliseconds=500)
    latest: timedelta = timedelta(seconds=30)
    watch: timedelta = timedelta(days=1)
    watch_every: timedelta = timedelta(hours=1)
    fiat: timedelta = timedelta(seconds=30)
    late_fiat: timedelta = timedelta(days=7)
    again: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of a move. Times are wall time.

    `checked`: the venue has told where to, or its rule. `held`: a person must allow that address
    first. `signs`: the source's key is our signer's. `short`: there is not enough at the source.
    `refused`: why it cannot be, for good. `booked`: the venue's side is in the books (credited,
    taken, or ordered at it). `arrived`: the other side is. `differs`: another amount arrived.
    `returned`: all of what left the one place has come back to it.
    `sends`, `unknown_since`, `absent`, `shown`: of a withdrawal, as of an order; `has_hash`: the
    venue tells its transaction. A person said: not there (`written_off`), will not come (`lost`).
    """

    way: Way
    checked: bool = False
    held: bool = False
    signs: bool = True
    short: bool = False
    cancelled: bool = False
    refused: str | None = None
    transaction: TransactionFact | None = None
    booked: bool = False
    arrived: bool = False
    differs: bool = False
    returned: bool = False
    sends: int = 0
    sent_at: datetime | None = None
    unknown_since: datetime | None = None
    resend_is_safe: bool = False
    absent: int = 0
    absent_since: datetime | None = None
    absent_at: datetime | None = None
    shown: TransferStatus | None = None
    has_hash: bool = False
    written_off: bool = False
    lost: bool = False
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason`: why it does not go on. `due_at` None: nothing is due. `tell`: tell a person."""

    status: MoveStatus
    action: Action
    due_at: datetime | None
    reason: str | None = None
    tell: bool = False


def judge(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    """Nothing is remembered: the same facts at the same time give the same."""
    match facts.way:
        case Way.WITHDRAW:
            return _withdrawal(facts, now, windows)
        case Way.REMIT:
            return _remittance(facts, now, windows)
        case Way.FUND:
            return _funding(facts, now, windows)
        case _:
            return _transaction(facts, now, windows)


def _transaction(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    """SEND and SHIFT."""
    sent = facts.transaction
    is_shift = facts.way is Way.SHIFT
    # A venue that has credited it is the proof, and so is a block where its owner has signed.
    if facts.arrived and not facts.differs and (sent is None or not is_shift):
        return _done(facts, now, windows)
    if sent is None:
        if facts.shown is None:
            return _unsent(facts, now, windows)
        # The venue knows of it, whoever sent it: it must not leave a second time.
        return _in_transit(Action.ASK, facts.sent_at or now, now, windows)
    if sent.worked and facts.differs:
        return Judgement(
            MoveStatus.IN_TRANSIT, Action.LOOK, now + windows.latest, "amount_differs", tell=True
        )
    since = facts.sent_at or now
    if sent.worked:
        if facts.lost:
            return _failed(facts, now, windows, "written_off")
        if is_shift and sent.status == Sent.CONFIRMED:
            return _done(facts, now, windows)
        action = Action.LOOK if is_shift else Action.ASK
        return _in_transit(action, since, now, windows)
    if sent.ended:
        return _failed(facts, now, windows, sent.reason or "not_carried_out")
    return Judgement(MoveStatus.SENDING, Action.LOOK, _next(since, now, windows), sent.reason)


def _unsent(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    """Nothing of it was handed to anybody."""
    if facts.cancelled:
        return _failed(facts, now, windows, "cancelled")
    if facts.refused:
        return _failed(facts, now, windows, facts.refused)
    if not facts.checked:
        return Judgement(MoveStatus.REQUESTED, Action.CHECK, now)
    if facts.held:
        return Judgement(MoveStatus.REQUESTED, Action.LOOK, None, "address_held")
    if not facts.signs:
        return Judgement(MoveStatus.APPROVED, Action.LOOK, now + windows.latest, "owner_signs")
    due = now + windows.again if facts.short else now
    reason = "hot_wallet_short" if facts.short else None
    return Judgement(MoveStatus.APPROVED, Action.LEAVE, due, reason)


def _withdrawal(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    if facts.shown is TransferStatus.FAILED:
        return _failed(facts, now, windows, "refused_by_venue")
    if facts.shown is not None:
        if facts.arrived:
            return _done(facts, now, windows)
        if facts.lost:
            return _failed(facts, now, windows, "written_off")
        action = (
            Action.LOOK if facts.has_hash and facts.shown is TransferStatus.DONE else Action.ASK
        )
        return _in_transit(action, facts.sent_at or now, now, windows)
    if facts.refused and facts.sends <= 1:  # the venue's word to the first send
        return _failed(facts, now, windows, facts.refused)
    if facts.sends == 0:
        return _unsent(facts, now, windows)
    if facts.written_off:
        return _failed(facts, now, windows, "written_off")
    if facts.unknown_since is None:
        return Judgement(MoveStatus.SENDING, Action.ASK, now)
    return _unknown(facts, facts.unknown_since, now, windows)


def _unknown(facts: Facts, since: datetime, now: datetime, windows: Windows) -> Judgement:
    absent = is_absent(facts, times=windows.absent, over=windows.polling)
    if facts.resend_is_safe and facts.sends == 1 and absent:
        return Judgement(MoveStatus.SENDING, Action.LEAVE, now, "outcome_unknown")
    tell = now >= since + windows.tell
    due = _next(since, now, windows)
    return Judgement(MoveStatus.SENDING, Action.ASK, due, "outcome_unknown", tell)


def _remittance(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    if facts.lost:
        return Judgement(MoveStatus.FAILED, Action.LOOK, None, "written_off")
    if facts.booked:
        if facts.arrived:
            return Judgement(MoveStatus.DONE, Action.LOOK, None)
        return Judgement(MoveStatus.IN_TRANSIT, Action.LOOK, now + windows.latest)
    if facts.cancelled:
        return Judgement(MoveStatus.FAILED, Action.LOOK, None, "cancelled")
    return Judgement(MoveStatus.APPROVED, Action.LOOK, None, "order_at_venue")


def _funding(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    """`checked`: a person has ordered it, which nobody else can tell before it shows. What is in
    the books goes on, whoever has cancelled it meanwhile."""
    if facts.booked and facts.arrived and not facts.differs:
        return Judgement(MoveStatus.DONE, Action.LOOK, None)
    if facts.lost:
        return Judgement(MoveStatus.FAILED, Action.LOOK, None, "written_off")
    due = now + windows.fiat
    action = Action.LOOK if facts.booked else Action.ASK
    if facts.arrived and facts.differs:
        return Judgement(MoveStatus.IN_TRANSIT, action, due, "amount_differs", tell=True)
    late = not facts.booked and now >= (facts.sent_at or now) + windows.late_fiat
    reason = "late" if late else None
    if facts.booked or facts.arrived:
        return Judgement(MoveStatus.IN_TRANSIT, action, due, reason, late)
    if facts.returned:
        return Judgement(MoveStatus.FAILED, Action.LOOK, None, "returned")
    if facts.cancelled:
        return Judgement(MoveStatus.FAILED, Action.LOOK, None, "cancelled")
    if facts.checked:
        return Judgement(MoveStatus.SENDING, action, due, reason, late)
    return Judgement(MoveStatus.APPROVED, action, due, "order_at_bank")


def _in_transit(action: Action, since: datetime, now: datetime, windows: Windows) -> Judgement:
    late = now >= since + windows.late
    due = _next(since, now, windows)
    return Judgement(MoveStatus.IN_TRANSIT, action, due, "late" if late else None, late)


def _done(facts: Facts, now: datetime, windows: Windows) -> Judgement:
    if facts.way is Way.WITHDRAW and facts.shown is TransferStatus.PENDING:
        # It came before the venue's last word about it, which may tell another fee.
        due = _watch(facts, now, windows)
        pause = max((now - (facts.ended_at or now)) / 4, windows.soonest)
        return Judgement(MoveStatus.DONE, Action.ASK, due and min(due, now + pause))
    return Judgement(MoveStatus.DONE, Action.LOOK, _watch(facts, now, windows))


def _failed(facts: Facts, now: datetime, windows: Windows, reason: str) -> Judgement:
    """One that a venue may have, or that was written off, is asked about for a while, and then not
    again: what reconciliation names from there on is a person's to book."""
    late = facts.lost or (facts.way is Way.WITHDRAW and facts.sends > 0)
    due = _watch(facts, now, windows) if late else None
    return Judgement(MoveStatus.FAILED, Action.ASK if due else Action.LOOK, due, reason)


def _watch(facts: Facts, now: datetime, windows: Windows) -> datetime | None:
    ended_at = facts.ended_at or now
    return None if now >= ended_at + windows.watch else now + windows.watch_every


def _next(since: datetime, now: datetime, windows: Windows) -> datetime:
    """The longer it lasts the rarer the questions: after a fourth of what has passed."""
    return now + min(max((now - since) / 4, windows.soonest), windows.latest)
