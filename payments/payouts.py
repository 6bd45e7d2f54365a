"""Payouts: what people and the chain do to them. The rule is payout_facts.judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw
from core.errors import Conflict
from core.ids import show
from core.networks import NATIVE
from ledger.journal import post
from payments import payout_approvals, payout_entries
from payments.cases import Outcome
from payments.payout_cases import Changes, lock, rejudge, rejudge_all
from payments.payout_facts import BACK, OPEN, Sent, Status
from payments.payout_reads import beside_of, find
from payments.payout_requests import wake
from payments.payout_tables import Payout
from payments.payout_views import payout_json
from risk import requests
from wallets.transactions import Observed, Own
from webhooks.events import emit


async def approve(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    payout_id: UUID | None,
    approver: str,
    signature: str,
) -> dict[str, Any]:
    """Keeps an approver's signature; with the last one the payout goes on.

    Raises NotFound, Invalid `unknown_approver` or `approval_invalid`, Conflict.
    """
    row = await find(session, payout_id, merchant_id, lock=True)
    await payout_approvals.give(session, context, row, approver, signature)
    if row.given >= row.needed:
        row.due_at = context.clock.now()
    return await _judged(session, context, row)


async def reject(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    payout_id: UUID | None,
    reason: str,
) -> dict[str, Any]:
    """A person's word: nothing leaves, the money is back. Again is harmless.

    Raises NotFound, Conflict `payout_not_open` once a transaction carries it.
    """
    row = await find(session, payout_id, merchant_id, lock=True)
    if row.status == Status.REJECTED:
        return payout_json(row, context.catalog, await beside_of(session, [row]))
    if row.status not in OPEN:
        raise Conflict(f"the payout is {row.status}: it is too late", code="payout_not_open")
    row.rejected = reason
    await payout_approvals.withdraw(session, row.id)
    return await _judged(session, context, row)


async def _judged(session: AsyncSession, context: Context, row: Payout) -> dict[str, Any]:
    changes = Changes(context, context.clock.now())
    rejudge(row, changes)
    await save(session, changes)
    return payout_json(row, context.catalog, await beside_of(session, [row]))


async def save(session: AsyncSession, changes: Changes) -> None:
    """Rows, entries and events, in the caller's transaction; due rows wake the worker."""
    await session.flush()
    await forget(session, changes)
    await post(session, changes.entries)
    await emit(session, await changes.events(session), changes.now)
    await wake(await raw(session))


async def forget(session: AsyncSession, changes: Changes) -> None:
    """What did not leave counts in no policy's window, until a fork brings it back to the road."""
    for what, row in changes.told:
        if what in (*BACK, "reversed"):
            await requests.release(session, show("pay", row.id), released=what in BACK)


async def settle(session: AsyncSession, observed: Observed, outcome: Outcome) -> None:
    """What a batch of blocks says of our payouts' transactions, inside of `apply_batch`.

    The hot wallet's place moves with the block and back with a fork; `paid` and `failed` come
    with the depth. Adds to `outcome`, which the caller posts and tells.
    """
    own = {one.id for one in (*observed.orphaned, *observed.mined, *observed.confirmed)}
    if not own:
        return
    carried: dict[UUID, list[Payout]] = defaultdict(list)
    rows = await lock(session, Payout.transaction_id.in_(own))
    for row in rows:
        if row.transaction_id is not None:
            carried[row.transaction_id].append(row)
    changes = Changes(outcome.context, outcome.now)
    for one in observed.orphaned:
        for row in carried[one.id]:
            taken_back(row, one, changes)
    for one in observed.mined:
        mined(carried[one.id], one, changes)
    for one in observed.confirmed:
        for row in carried[one.id]:
            row.final = True
    rejudge_all(rows, changes)
    await session.flush()
    await forget(session, changes)
    outcome.entries.extend(changes.entries)
    outcome.events.extend(await changes.events(session))


def mined(rows: Sequence[Payout], own: Own, changes: Changes) -> None:
    """A block has it. Which payouts went out is told by what left, not by the receipt's status
    alone: one of several may have failed, and a token may say no without reverting."""
    left = Counter((flow.token, flow.recipient, flow.amount) for flow in own.outflows)
    for row in rows:
        what = (row.token, row.address, row.amount)
        if own.succeeded and not own.cancel and _went(row, left, alone=len(rows) == 1):
            left[what] -= 1
            row.outcome, row.failure = Sent.SENT.value, None
            changes.entries.append(payout_entries.paid(row, _evidence(own), changes.now))
        else:
            row.outcome = Sent.REFUSED.value
            row.failure = own.reason or _why_not(own)


def _went(row: Payout, left: Counter[tuple[str, str, int]], *, alone: bool) -> bool:
    """A token with a transfer fee shows less than was sent, so alone its amount is not asked."""
    if alone and row.token == NATIVE:
        return True
    if alone:
        return any((token, to) == (row.token, row.address) for token, to, _ in left)
    return left[row.token, row.address, row.amount] > 0


def _why_not(own: Own) -> str:
    if own.cancel:
        return "the transaction was cancelled"
    if own.succeeded:
        return "the destination refused the payment"
    return "the transaction reverted"


def taken_back(row: Payout, own: Own, changes: Changes) -> None:
    if row.outcome == Sent.SENT:
        entry = payout_entries.paid(row, _evidence(own), changes.now, reverse=True)
        changes.entries.append(entry)
    if row.outcome is not None:
        row.generation += 1
    row.outcome, row.failure, row.final = None, None, False


def _evidence(own: Own) -> dict[str, Any]:
    return {
        "network": own.network,
        "block_number": own.block_number,
        "block_hash": own.block_hash,
        "tx_hash": own.tx_hash,
    }
