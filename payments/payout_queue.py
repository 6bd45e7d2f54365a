"""Payouts that have something to be done for, as rows of a queue (core.work)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update

from core.clock import wall
from core.context import Context
from payments.payout_tables import Payout

LEASE_SECONDS = 30
AWAY_SECONDS = 5  # until somebody who did not answer is asked again

# Due rows; those of which screening says something else since they were put off; and those whose
# transaction ended without a block, or needs what it was not given.
_CLAIM = """
with due as (
    select p.id from payouts p
    where p.due_at <= %(now)s and (p.leased_until is null or p.leased_until <= %(wall)s)
    order by p.due_at, p.id limit %(limit)s for update of p skip locked
), screened as (
    select p.id from payouts p
    join screenings s on s.subject = 'payout' and s.subject_id = p.id
    where s.verdict <> 'hold' and (p.status = 'held' and p.screening = 'hold'
            or p.status = 'requested' and p.screening is null and p.due_at > %(now)s)
        and (p.due_at is null or s.updated_at > p.due_at - %(put_off)s)
        and (p.leased_until is null or p.leased_until <= %(wall)s)
    order by p.id limit %(limit)s for update of p skip locked
), ended as (
    select p.id from payouts p join transactions t on t.id = p.transaction_id
    where p.status = 'sending' and p.outcome is null
        and (p.leased_until is null or p.leased_until <= %(wall)s)
        and (t.status in ('failed', 'cancelled') and t.block_number is null
            or t.status = 'prepared' and t.reason = any(%(back)s))
    order by p.id limit %(limit)s for update of p skip locked
)
update payouts p set leased_until = %(leased_until)s
from (
    select id from due union select id from screened union select id from ended limit %(limit)s
) as c where p.id = c.id
returning p.id
"""
# The signer's words for what more approvals, or another moment, would allow.
BACK_TO_PEOPLE = ["approval_needed", "velocity_exceeded", "expired"]


async def claim(context: Context, limit: int) -> Sequence[UUID]:
    """Leases up to `limit` of them."""
    now = wall()
    values = {
        "now": context.clock.now(),
        "wall": now,
        "leased_until": now + timedelta(seconds=LEASE_SECONDS),
        "limit": limit,
        "back": BACK_TO_PEOPLE,
        "put_off": timedelta(seconds=AWAY_SECONDS),
    }
    async with context.database.statement() as connection:
        cursor = await connection.execute(_CLAIM, values)
        return [row[0] for row in await cursor.fetchall()]


async def put_off(
    context: Context, payout_ids: Sequence[UUID], *, since: datetime | None = None
) -> None:
    """Somebody did not answer: due again after a while. A verdict of screening that came `since`
    (now) makes them due at once."""
    if not payout_ids:
        return
    due_at = (since or context.clock.now()) + timedelta(seconds=AWAY_SECONDS)
    async with context.database.begin() as session:
        await session.execute(
            update(Payout).where(Payout.id.in_(payout_ids)).values(due_at=due_at, leased_until=None)
        )
