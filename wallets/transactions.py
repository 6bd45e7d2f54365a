"""Outgoing transactions (CHAIN 3): asked for here, sent by `wallets.sending`, ended by a block.

`prepared -> sent -> mined -> confirmed | failed | cancelled`. `prepared` has no nonce.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chain.fees import Urgency
from core import ids
from core.context import Context
from core.errors import Conflict, NotFound
from core.listen import notify
from ledger.journal import Entry
from wallets.encoding import plain
from wallets.intents import Intent, Move, payments_of
from wallets.tables import Transaction

CHANNEL = "transactions"


class Purpose(StrEnum):
    """What a transaction is for; its `reference` is the TypeID of that thing."""

    PAYOUT = "payout"
    """One payout or refund."""
    PAYOUT_BATCH = "payout_batch"
    """Several payouts through the multisend contract."""
    SWEEP = "sweep"
    """Deposit addresses to the treasury."""
    MOVE = "move"
    """Between places of ours, or to a venue."""
    ALLOWANCE = "allowance"
    """Lets the multisend contract take a token."""
    DEPLOY = "deploy"
    """One of our contracts."""
    RELAY = "relay"
    """A payer's authorization, carried to the router at our expense."""


class Status(StrEnum):
    """Where a transaction stands."""

    PREPARED = "prepared"
    """Asked for; no nonce, nothing signed: it can still be dropped without a trace."""
    SENT = "sent"
    """Signed at a nonce, stored, and handed to nodes or about to be."""
    MINED = "mined"
    """A block carries one of its variants, not deep enough yet."""
    CONFIRMED = "confirmed"
    """Carried out, deep enough."""
    FAILED = "failed"
    """Reverted in a block that is deep enough, or never sent because it could not work."""
    CANCELLED = "cancelled"
    """Its nonce was taken by a self-send of nothing, or it was dropped before it had one."""


ENDED = (Status.CONFIRMED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Outflow:
    """What left the wallet: base units of `token` (an address, or NATIVE); log_index None: the
    transaction's own value."""

    token: str
    recipient: str
    amount: int
    log_index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A transaction of ours as its owner needs to know it.

    `status` MINED tells `succeeded`: a cancelled one succeeded as well, but `cancel` is true and
    nothing flowed. `gas_paid` in wei. Without a block (never sent) the last fields are empty.
    `generation` counts how often it was mined.
    """

    id: UUID
    network: str
    wallet: str
    purpose: Purpose
    reference: str
    status: Status
    tx_hash: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    succeeded: bool = False
    cancel: bool = False
    gas_paid: int = 0
    outflows: tuple[Outflow, ...] = ()
    reason: str | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What a batch of blocks did to our own transactions, in this order: what it took back, what
    it carries, what is deep enough now (confirmed, failed or cancelled). `entries` are the gas,
    to be posted with the batch's own."""

    orphaned: tuple[Own, ...] = ()
    mined: tuple[Own, ...] = ()
    confirmed: tuple[Own, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def hashes(self) -> frozenset[str]:
        """The transactions that explain a movement in these blocks (MONEY 2)."""
        return frozenset(o.tx_hash for o in self.mined if o.tx_hash is not None)


async def prepare(
    session: AsyncSession,
    context: Context,
    *,
    network: str,
    wallet: str,
    purpose: Purpose,
    intent: Intent,
    reference: str,
    urgency: Urgency = Urgency.NORMAL,
    fee_cap: int | None = None,
    least_gas: int | None = None,
    now: datetime,
) -> UUID:
    """Asks for a transaction; it is sent once the caller has committed.

    fee_cap: wei for the whole of it, else what the payments in it allow together. least_gas: for
    calls whose estimate is too low to trust, because inner calls may fail in them. Raises
    NotFound for a network that is not configured.
    """
    if network not in context.catalog.networks:
        raise NotFound(f"no network {network}")
    number = ids.new()
    session.add(
        Transaction(
            id=number,
            network=network,
            wallet=wallet,
            purpose=purpose,
            reference=reference,
            order_id=number,
            intent=plain(intent),
            spends={token: str(amount) for token, amount in spends(intent).items()},
            urgency=urgency,
            fee_cap=_fee_cap(intent) if fee_cap is None else fee_cap,
            least_gas=least_gas,
            status=Status.PREPARED,
            cancel_asked=False,
            generation=0,
            open=False,
            due_at=now,
            attempts=0,
            created_at=now,
        )
    )
    await session.flush()
    await wake(session, network)
    return number


async def revise(session: AsyncSession, transaction_id: UUID, intent: Intent, now: datetime) -> Own:
    """Another intent for one that is still `prepared` (approvals were given): tried at once.

    Raises NotFound, Conflict `transaction_sent` when it has a nonce already or has ended.
    """
    row = await _lock(session, transaction_id)
    if row.status != Status.PREPARED:
        raise Conflict(f"the transaction is {row.status}", code="transaction_sent")
    row.intent, row.due_at, row.reason = plain(intent), now, None
    row.spends = {token: str(amount) for token, amount in spends(intent).items()}
    await session.flush()
    await wake(session, row.network)
    return own(row)


async def cancel(
    session: AsyncSession, context: Context, transaction_id: UUID, now: datetime
) -> Own:
    """Drops one that has no nonce; for one that was sent, asks for its nonce to be taken by a
    self-send, which it may still outrun: only a block says which of the two was mined.

    Raises NotFound, Conflict `transaction_ended` when a block has decided already.
    """
    row = await _lock(session, transaction_id)
    if row.status == Status.PREPARED:
        row.status, row.reason, row.ended_at = Status.CANCELLED, "cancelled", now
    elif row.status == Status.SENT:
        row.cancel_asked, row.due_at = True, now
    else:
        raise Conflict(f"the transaction is {row.status}", code="transaction_ended")
    await session.flush()
    await wake(session, row.network)
    return own(row)


async def of_reference(session: AsyncSession, reference: str) -> list[Own]:
    """All transactions that served this thing, oldest first."""
    query = select(Transaction).where(Transaction.reference == reference).order_by(Transaction.id)
    return [own(row) for row in await session.scalars(query)]


async def find(session: AsyncSession, transaction_id: UUID, *, lock: bool = False) -> Own | None:
    """As it stands; `lock`: until the caller's end nobody signs it."""
    row = await session.get(Transaction, transaction_id, with_for_update=lock or None)
    return None if row is None else own(row)


def spends(intent: Intent) -> dict[str, int]:
    """What the intent takes from the wallet itself, gas aside: token -> base units."""
    total: dict[str, int] = defaultdict(int)
    for payment in payments_of(intent):
        total[payment.token] += payment.amount
    if isinstance(intent, Move):
        total[intent.token] += intent.amount
    return dict(total)


def _fee_cap(intent: Intent) -> int | None:
    payments = payments_of(intent)
    return sum(p.fee_cap for p in payments) if payments else None


def own(row: Transaction, *, cancel: bool = False) -> Own:
    """A row as its owner sees it."""
    return Own(
        id=row.id,
        network=row.network,
        wallet=row.wallet,
        purpose=Purpose(row.purpose),
        reference=row.reference,
        status=Status(row.status),
        tx_hash=row.tx_hash,
        block_number=row.block_number,
        block_hash=row.block_hash,
        succeeded=bool(row.succeeded),
        cancel=cancel or row.status == Status.CANCELLED,
        gas_paid=row.gas_paid or 0,
        outflows=read_outflows(row.outflows),
        reason=row.reason,
        generation=row.generation,
    )


def read_outflows(stored: list[Any] | None) -> tuple[Outflow, ...]:
    """[[token, recipient, amount as text, log index or null], ...] as a column holds them."""
    return tuple(Outflow(t, r, int(a), n) for t, r, a, n in stored or ())


def show_outflows(outflows: tuple[Outflow, ...]) -> list[Any]:
    return [[o.token, o.recipient, str(o.amount), o.log_index] for o in outflows]


async def wake(session: AsyncSession, network: str) -> None:
    """Whoever sends on this network looks again at commit."""
    await notify(session, CHANNEL, network)


async def _lock(session: AsyncSession, transaction_id: UUID) -> Transaction:
    row = await session.get(Transaction, transaction_id, with_for_update=True)
    if row is None:
        raise NotFound("no such transaction")
    return row
