"""Inflows to the house that a move of ours awaits: known when their block is applied, or later,
when the venue has told which transaction it was.

What may be a withdrawal whose transaction nobody has told yet is booked as any unknown inflow, and
waits: a Break is opened only when no move awaits it any more.
"""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.networks import Network
from core.work import DATABASE_AWAY
from ledger.journal import post
from ledger.tables import BreakRow
from payments import entries, house, overdraft
from payments.awaited import AWAITED, UNKNOWN, Awaited
from payments.cases import Outcome
from payments.tables import HouseMovement
from wallets import expected as awaiting
from wallets.tables import ExpectedInflow
from webhooks.events import emit

log = structlog.get_logger()

POLL_SECONDS = 5.0
_GUARD = text("select number from network_cursors where network = :network for update")


async def run(context: Context) -> None:
    """For ever: what venues tell later, and what nobody awaits any more."""
    async with context.listener.subscribe(awaiting.CHANNEL) as told:
        while True:
            told.drain()
            for network in context.catalog.networks.values():
                try:
                    await look(context, network)
                except DATABASE_AWAY as error:
                    log.warning("arrivals_interrupted", error=type(error).__name__)
            await told.next(POLL_SECONDS)
            await asyncio.sleep(0)


async def keep_blocks_out(session: AsyncSession, network: str) -> None:
    """Until the commit: whoever applies them takes this row first."""
    await session.execute(_GUARD, {"network": network})


async def look(context: Context, network: Network) -> int:
    """How many inflows have got their meaning. The guard row keeps blocks out meanwhile."""
    async with context.database.read() as session:
        if not await _waiting(session, network.id):
            return 0
    async with context.database.begin() as session:
        await keep_blocks_out(session, network.id)
        rows = await _waiting(session, network.id)
        expected = await awaiting.waiting(session, network.id, [r.tx_hash for r in rows])
        there = Awaited([e for e in expected if not e.arrived], {})
        outcome = Outcome(context, {}, context.clock.now())
        changed = 0
        for row in rows:
            found = there.of(row.tx_hash, row.source, row.destination, row.asset, row.amount)
            changed += await _mean(session, row, *found, outcome)
        await session.flush()
        await post(session, outcome.entries)
        await emit(session, outcome.events, outcome.now)
    return changed


async def _mean(
    session: AsyncSession,
    row: HouseMovement,
    meaning: str,
    reference: str | None,
    outcome: Outcome,
) -> bool:
    if meaning == row.meaning or (meaning == AWAITED and row.meaning == UNKNOWN):
        return False
    before, key = row.meaning, house.unknown_inflow(row).key
    if before == UNKNOWN and not await _stands(session, key):
        return False  # a person has decided about it
    row.meaning, row.reference = meaning, reference
    if meaning == UNKNOWN:
        await overdraft.open_and_tell(session, house.unknown_inflow(row), outcome)
        return True
    assert reference is not None  # noqa: S101  (what arrived is somebody's)
    outcome.entries.append(entries.explained(row, outcome.now))
    await awaiting.mark(session, reference, arrived=True)
    if before == UNKNOWN:
        await overdraft.close_and_tell(session, key, f"{reference} awaited it", outcome)
    return True


async def _stands(session: AsyncSession, key: str) -> bool:
    query = select(BreakRow.id).where(BreakRow.key == key, BreakRow.status != "resolved")
    return await session.scalar(query) is not None


# Waiting for an answer; or unknown, although by now the transaction is known to be a venue's.
_KNOWN = (
    select(ExpectedInflow.reference)
    .where(
        ExpectedInflow.network == HouseMovement.network,
        ExpectedInflow.tx_hash == HouseMovement.tx_hash,
        ExpectedInflow.arrived.is_(False),
    )
    .exists()
)


async def _waiting(session: AsyncSession, network: str) -> list[HouseMovement]:
    waits = (HouseMovement.meaning == AWAITED) | ((HouseMovement.meaning == UNKNOWN) & _KNOWN)
    query = select(HouseMovement).where(
        HouseMovement.network == network, HouseMovement.status == "live", waits
    )
    query = query.order_by(HouseMovement.block_number, HouseMovement.id)
    return list(await session.scalars(query.execution_options(populate_existing=True)))
