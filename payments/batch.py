"""`apply_batch`, the centre of the product: one transaction takes a run of blocks into the books.

Deposits, confirmations, ledger, invoices, events and deliveries change together or not at all
(DESIGN 1, decision 5); after it only outside calls remain.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chain.types import Batch
from core.context import Context
from core.db import raw
from core.errors import ForkBelowFinalized
from core.networks import Network
from ledger.journal import post
from payments import heights as heights_of
from payments import house, overdraft
from payments.cases import Case, Outcome, appraise, credit_pending, judge, lock, orphan
from payments.intake import Owner, Valuer, deposit_owners, house_roles, parties, returned, take_in
from payments.tables import BlockRow, Deposit, HouseMovement, NetworkCursor
from payments.tiers import Heights, required, waits_for
from payments.write import record_blocks, record_holdings, wake
from prices import book
from webhooks.events import emit


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did: new cursor, and the invoices it touched."""

    number: int
    hash: str
    invoices: frozenset[UUID]
    deposits: int
    orphaned: int


async def apply_batch(
    session: AsyncSession, context: Context, network: Network, batch: Batch
) -> Applied | None:
    """Applies a batch that begins exactly at the stored cursor; None when it does not (any more).

    The caller commits. Whatever fails rolls all of it back, and the same blocks are read again.
    """
    now = context.clock.now()
    cursor = await session.get(NetworkCursor, network.id, with_for_update=True)
    if cursor is None or (cursor.number, cursor.hash) != (batch.start.number, batch.start.hash):
        return None
    # Read before this block was final: the row that is locked here has the last word.
    if batch.fork is not None and cursor.finalized is not None and batch.fork < cursor.finalized:
        raise ForkBelowFinalized(network.id, cursor.finalized)
    await _advance(session, network, cursor, batch, now)
    connection = await raw(session)
    owners = await deposit_owners(connection, parties(batch))
    roles = await house_roles(connection, network.id)
    gone_ids, ripe = await _affected(session, network, batch, cursor)
    receiving = {o.invoice_id for o in owners.values()} if batch.movements else set()
    cases = await lock(session, gone_ids | ripe | receiving)

    outcome = Outcome(context, await heights_of.load(session), now)
    sure = _confirmed_above(cases.values(), network, batch.fork)
    gone = _take_back(cases.values(), network, batch.fork, outcome)
    valuer = Valuer(context.catalog, await book.load(connection), now)
    arrived = take_in(network, batch, owners, cases, valuer).arrived
    quiet, back = returned(gone, arrived)
    session.add_all(deposit for _, deposit in arrived)
    for _, deposit in arrived:
        credit_pending(deposit, outcome)
    for case in {case.invoice.id: case for case, _ in arrived}.values():
        appraise(case, context)
    _set_policy(network, cases.values())
    _tell_facts(cases, gone, arrived, quiet, back, outcome)
    followed = await heights_of.followed(session, context.catalog)
    here = heights_of.of(cursor)
    # Confirmed before, and deep enough in the other block: it never stopped being confirmed.
    unshaken = {d.id for _, d in arrived if d.id in back and d.tx_hash in sure}
    _confirm(network, cases.values(), here, now, only=unshaken)
    for case in cases.values():
        judge(case, followed, outcome)
    confirmed = _confirm(network, cases.values(), here, now)
    for case, deposit in confirmed:
        outcome.tell_deposit("confirmed", case, deposit)
    for case in {case.invoice.id: case for case, _ in confirmed}.values():
        judge(case, followed, outcome)

    lost, moved = await _house(session, network, batch, owners, roles, outcome)
    await session.flush()
    posted = await post(session, outcome.entries)
    await overdraft.review(session, context, posted.balances, outcome)
    await record_blocks(connection, network, batch)
    await record_holdings(connection, gone, [d for _, d in arrived], lost, moved)
    await emit(session, outcome.events, now)
    await wake(connection, network.id, cases)
    return Applied(cursor.number, cursor.hash, frozenset(cases), len(arrived), len(gone))


async def _advance(
    session: AsyncSession, network: Network, cursor: NetworkCursor, batch: Batch, now: datetime
) -> None:
    """The guard row moves first: everything below reads the new height from it."""
    if batch.blocks:
        cursor.number, cursor.hash = batch.blocks[-1].number, batch.blocks[-1].hash
    elif batch.fork is not None:
        ancestor = await session.get_one(BlockRow, (cursor.network, batch.fork))
        cursor.number, cursor.hash = ancestor.number, ancestor.hash
    cursor.version += 1
    cursor.head = batch.head
    # A safe or finalized number of a chain that is still ahead of us counts only as far as we are.
    cursor.safe = None if batch.safe is None else min(batch.safe, cursor.number)
    if batch.finalized is not None:
        cursor.finalized = max(cursor.finalized or 0, min(batch.finalized, cursor.number))
    if batch.blocks and cursor.number >= batch.head:
        stamp = datetime.fromtimestamp(batch.blocks[-1].timestamp, UTC)
        cursor.followed_until = heights_of.known_until(network, stamp, now)
    cursor.updated_at = now


async def _affected(
    session: AsyncSession, network: Network, batch: Batch, cursor: NetworkCursor
) -> tuple[set[UUID], set[UUID]]:
    """Invoices with deposits above the fork, and those with a pending deposit that may be ripe."""
    gone: set[UUID] = set()
    if batch.fork is not None:
        query = select(Deposit.invoice_id).where(
            Deposit.network == network.id,
            Deposit.block_number > batch.fork,
            Deposit.status != "orphaned",
        )
        gone = {i for i in await session.scalars(query) if i is not None}
    now_at = heights_of.of(cursor)
    pending = (
        select(
            Deposit.network,
            Deposit.invoice_id,
            Deposit.required,
            Deposit.block_number,
            Deposit.waiting_for,
            Deposit.witnessed,
            func.sum(Deposit.house_value)
            .over(partition_by=Deposit.invoice_id)
            .label("unconfirmed"),
            func.bool_or(Deposit.house_value.is_(None))
            .over(partition_by=Deposit.invoice_id)
            .label("unpriced"),
        )
        .where(Deposit.status == "pending")
        .subquery()
    )
    ripe: set[UUID] = set()
    for row in await session.execute(select(pending).where(pending.c.network == network.id)):
        unconfirmed = None if row.unpriced else int(row.unconfirmed)
        waits = waits_for(
            network,
            row.required,
            unconfirmed,
            row.block_number,
            now_at,
            witnessed=row.witnessed,
        )
        if row.invoice_id is not None and waits != row.waiting_for:
            ripe.add(row.invoice_id)
    return gone, ripe


def _confirmed_above(cases: Collection[Case], network: Network, fork: int | None) -> frozenset[str]:
    """Transactions whose confirmation the merchant has heard of, and which the fork takes back."""
    return frozenset(
        deposit.tx_hash
        for case in cases
        for deposit in case.deposits
        if fork is not None
        and deposit.network == network.id
        and deposit.block_number > fork
        and deposit.status == "confirmed"
    )


def _take_back(
    cases: Collection[Case], network: Network, fork: int | None, outcome: Outcome
) -> list[Deposit]:
    if fork is None:
        return []
    gone: list[Deposit] = []
    for case in cases:
        for deposit in case.deposits:
            above = deposit.network == network.id and deposit.block_number > fork
            if above and deposit.status != "orphaned":
                orphan(case, deposit, outcome)
                gone.append(deposit)
    return gone


def _set_policy(network: Network, cases: Collection[Case]) -> None:
    """One policy for all unconfirmed deposits of an invoice, by their sum: many small payments
    do not slip under a limit."""
    for case in cases:
        pending = [d for d in case.deposits if d.status == "pending" and d.network == network.id]
        total = _unconfirmed(case)
        for deposit in pending:
            deposit.required = required(network, total)
            deposit.waiting_for = deposit.waiting_for or "confirmations"


def _unconfirmed(case: Case) -> int | None:
    """The sum of its pending deposits on all networks; None where one has no fresh price."""
    values = [d.house_value for d in case.deposits if d.status == "pending"]
    return None if None in values else sum(v for v in values if v is not None)


def _tell_facts(
    cases: Mapping[UUID, Case],
    gone: Sequence[Deposit],
    arrived: Sequence[tuple[Case, Deposit]],
    quiet: Collection[UUID],
    back: Collection[UUID],
    outcome: Outcome,
) -> None:
    for deposit in gone:
        if deposit.id not in quiet and deposit.status == "orphaned" and deposit.invoice_id:
            outcome.tell_deposit("orphaned", cases[deposit.invoice_id], deposit)
    for case, deposit in arrived:
        if deposit.id not in back:
            outcome.tell_deposit("seen", case, deposit)


def _confirm(
    network: Network,
    cases: Collection[Case],
    heights: Heights,
    now: datetime,
    *,
    only: Collection[UUID] | None = None,
) -> list[tuple[Case, Deposit]]:
    confirmed = []
    for case in cases:
        total = _unconfirmed(case)
        for deposit in case.deposits:
            if deposit.network != network.id or deposit.status != "pending":
                continue
            if only is not None and deposit.id not in only:
                continue
            deposit.waiting_for = waits_for(
                network,
                deposit.required,
                total,
                deposit.block_number,
                heights,
                witnessed=deposit.witnessed,
            )
            if deposit.waiting_for is None:
                deposit.status, deposit.confirmed_at = "confirmed", now
                confirmed.append((case, deposit))
    return confirmed


async def _house(
    session: AsyncSession,
    network: Network,
    batch: Batch,
    owners: Mapping[str, Owner],
    roles: Mapping[str, str],
    outcome: Outcome,
) -> tuple[list[HouseMovement], list[HouseMovement]]:
    """Sweeps and unknown inflows: taken back above a fork, or recorded; the unknown get a Break."""
    gone: list[HouseMovement] = []
    if batch.fork is not None:
        gone, reversals = await house.take_back(session, network.id, batch.fork, outcome.now)
        outcome.entries.extend(reversals)
    found = house.meanings(network, batch, owners, roles)
    live, made = await house.record(session, found, outcome.now)
    outcome.entries.extend(made)
    for row in live:
        if row.meaning == "unknown":
            await overdraft.open_and_tell(session, house.unknown_inflow(row), outcome)
    standing = {house.unknown_inflow(row).key for row in live if row.meaning == "unknown"}
    for row in gone:
        key = house.unknown_inflow(row).key
        if row.meaning == "unknown" and key not in standing:  # else it only changed its block
            await overdraft.close_and_tell(session, key, "the chain took it back", outcome)
    return gone, live
