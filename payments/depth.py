"""When a pending deposit is confirmed: deep enough, seen twice where that is asked, and screened
(MONEY 2). The same for whatever gathers deposits, an invoice or a customer's wallet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from core.networks import Network
from payments.tables import Deposit
from payments.tiers import Heights, required, waits_for
from risk.verdicts import Outcome

SCREENING = "screening"


class Word(NamedTuple):
    """What screening says of a deposit. `there`: somebody has looked, so that a hold is a word and
    not only the wait for one; `decided`: by a person."""

    verdict: str
    there: bool
    decided: bool

    @property
    def holds(self) -> bool:
        return self.verdict != Outcome.ACCEPT


ASKED = Word(Outcome.HOLD.value, there=False, decided=False)
# `holder` is a column of deposits; a deposit without a row was never asked about: it is fine.
WORDS = """
select s.subject_id, s.verdict, s.status = 'done' or s.reasons <> '[]', s.decided_at is not null
from screenings s where s.subject = 'deposit'
    and s.subject_id = any(array(select d.id from deposits d where d.{holder} = any(%s){touched}))
"""


class Holder(Protocol):
    """What gathers deposits. `words`: screening's, by the deposit's id. `currency`: what they are
    valued in, None where nothing is to be paid."""

    @property
    def currency(self) -> str | None: ...

    deposits: list[Deposit]
    words: dict[UUID, Word]


H = TypeVar("H", bound=Holder)


def set_policy(network: Network, holders: Iterable[Holder]) -> None:
    """One policy for all unconfirmed deposits of a holder, by their sum: many small payments
    do not slip under a limit."""
    for holder in holders:
        pending = [d for d in holder.deposits if d.status == "pending" and d.network == network.id]
        total = _unconfirmed(holder)
        for deposit in pending:
            deposit.required = required(network, total)
            deposit.waiting_for = deposit.waiting_for or "confirmations"


def _unconfirmed(holder: Holder) -> int | None:
    """The sum of its pending deposits on all networks; None where one has no fresh price."""
    values = [d.house_value for d in holder.deposits if d.status == "pending"]
    return None if None in values else sum(v for v in values if v is not None)


def confirm(
    network: Network,
    holders: Iterable[H],
    heights: Heights,
    now: datetime,
    *,
    only: Collection[UUID] | None = None,
) -> list[tuple[H, Deposit]]:
    """Confirms what waits for nothing any more; what screening does not accept is `held`."""
    confirmed = []
    for holder in holders:
        total = _unconfirmed(holder)
        for deposit in holder.deposits:
            if deposit.network != network.id or deposit.status != "pending":
                continue
            if only is not None and deposit.id not in only:
                continue
            word = holder.words.get(deposit.id)
            deposit.waiting_for = waits_for(
                network,
                deposit.required,
                total,
                deposit.block_number,
                heights,
                witnessed=deposit.witnessed,
                screened=word is None or word.there,
            )
            if deposit.waiting_for is None:
                deposit.status, deposit.confirmed_at = "confirmed", now
                deposit.held = word is not None and word.holds
                confirmed.append((holder, deposit))
    return confirmed


def confirmed_above(
    holders: Iterable[Holder], network: Network, fork: int | None
) -> frozenset[str]:
    """Transactions whose confirmation the merchant has heard of, and which the fork takes back."""
    return frozenset(
        deposit.tx_hash
        for holder in holders
        for deposit in holder.deposits
        if fork is not None
        and deposit.network == network.id
        and deposit.block_number > fork
        and deposit.status == "confirmed"
    )


def release(holders: Iterable[Holder]) -> None:
    """What screening holds no more is no longer held: a source has answered, or a person."""
    for holder in holders:
        for deposit in holder.deposits:
            word = holder.words.get(deposit.id)
            if deposit.held and word is not None and not word.holds:
                deposit.held = False
