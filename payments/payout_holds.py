"""A reversal that overdraws a merchant stops what he has asked to leave (MONEY 1)."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, or_, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import raw
from payments.cases import Outcome
from payments.payout_cases import Changes, lock, rejudge
from payments.payout_facts import OPEN
from payments.payout_requests import wake
from payments.payout_sending import wake_batch
from payments.payout_tables import Payout

Account = tuple[str, str]  # name, asset


async def review(
    session: AsyncSession,
    overdrawn: Collection[Account],
    whole: Collection[Account],
    outcome: Outcome,
) -> None:
    """Payouts of overdrawn accounts that no transaction carries yet are held; those of accounts
    that were filled again go on. Told through `outcome`."""
    if not overdrawn and not whole:
        return
    pays = tuple_(Payout.source, Payout.asset)
    rows = await lock(
        session,
        Payout.status.in_(OPEN),
        or_(
            and_(pays.in_(list(overdrawn)), Payout.overdrawn.is_(False)),
            and_(pays.in_(list(whole)), Payout.overdrawn.is_(True)),
        ),
    )
    if not rows:
        return
    changes = Changes(outcome.context, outcome.now)
    for row in rows:
        row.overdrawn = (row.source, row.asset) in overdrawn
        row.due_at = None if row.overdrawn else outcome.now
        rejudge(row, changes)
    await session.flush()
    for batch_id in sorted({row.batch_id for row in rows if row.batch_id is not None}):
        await wake_batch(session, batch_id, outcome.now)  # it may have waited for these alone
    outcome.events.extend(await changes.events(session))
    await wake(await raw(session))
