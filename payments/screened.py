"""Screening of deposits (MONEY 2): their sources are asked about with the block that brings them,
and the word that comes is applied, whenever it comes.

Held is a deposit that is deep enough while screening does not accept it: its money stands in the
inbox until a source says yes, or a person decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from core.context import Context
from core.db import Raw
from core.networks import Network
from payments.depth import ASKED, Holder, Word
from payments.tables import Deposit
from risk.screening import NewDeposit, needed, request_deposits

# A payment that only changed its block keeps its screening, and what a person said of it.
_FOLLOW = """
update screenings s set subject_id = moved.now_is
from unnest(%s::uuid[], %s::uuid[]) as moved (was, now_is)
where s.subject = 'deposit' and s.subject_id = moved.was and not exists (
    select from screenings o where o.subject = 'deposit' and o.subject_id = moved.now_is)
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a batch has to tell screening. `moved`: deposits whose payment has another row now."""

    new: list[NewDeposit] = field(default_factory=list)
    moved: list[tuple[UUID, UUID]] = field(default_factory=list)

    def __add__(self, other: Asking) -> Asking:
        return Asking(self.new + other.new, self.moved + other.moved)


def ask(
    context: Context,
    network: Network,
    active: bool,
    arrived: Sequence[tuple[Holder, Deposit]],
) -> Asking:
    """Gives each deposit that has arrived its word, as the holders know it: the one it has, the
    one of the same payment in a block that is gone, or that it was asked about.

    `active`: what is stored asks for screening; the configuration may as well.
    """
    asking = Asking()
    asked = active or needed(context, network.id)
    for holder, deposit in arrived:
        word = holder.words.get(deposit.id) or _inherit(holder, deposit, asking)
        if word is not None and not word.holds:
            deposit.held = False
        if word is None and asked:
            holder.words[deposit.id] = ASKED
            asking.new.append(_new(deposit))
    return asking


def _inherit(holder: Holder, deposit: Deposit, asking: Asking) -> Word | None:
    for other in holder.deposits:
        same = (
            other.status == "orphaned"
            and other.id in holder.words
            and (other.tx_hash, other.address, other.token, other.amount)
            == (deposit.tx_hash, deposit.address, deposit.token, deposit.amount)
        )
        if same:
            asking.moved.append((other.id, deposit.id))
            word = holder.words[deposit.id] = holder.words.pop(other.id)
            return word
    return None


def _new(deposit: Deposit) -> NewDeposit:
    return NewDeposit(
        id=deposit.id,
        merchant_id=deposit.merchant_id,
        network=deposit.network,
        sender=deposit.sender,
        asset=deposit.asset,
        house_value=deposit.house_value,
    )


async def record(connection: Raw, context: Context, asking: Asking, now: datetime) -> None:
    """Two statements at most, none for nothing: fit for a pipeline."""
    if asking.moved:
        was, now_is = zip(*asking.moved, strict=True)
        await connection.execute(_FOLLOW, (list(was), list(now_is)))
    await request_deposits(connection, context, asking.new, now)


def rejected(holder: Holder, deposit: Deposit) -> bool:
    """Whether a person has said no: its money may go back to its payer, and nowhere else."""
    word = holder.words.get(deposit.id)
    return word is not None and word.holds and word.decided
