"""Deadlines: an invoice closes once every network it offers is followed past its end."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import Raw, raw
from ledger.journal import post
from payments import heights as heights_of
from payments import overdraft
from payments.assess import GRACE
from payments.cases import Outcome, judge, lock, save
from webhooks.events import emit

AT_ONCE = 200

# A stalled network delays the expiry of what it offers, and of nothing else (MONEY 3).
_DUE = """
select id from invoices
where status = 'new' and expires_at < %(now)s - %(grace)s::interval and not exists (
    select from jsonb_array_elements(options) as o
    join unnest(%(configured)s::text[]) as n(id) on n.id = o ->> 'network'
    left join network_cursors c on c.network = n.id
    where c.followed_until is null
        or c.followed_until <= invoices.expires_at + %(grace)s::interval
)
order by expires_at limit %(limit)s
"""


async def due(connection: Raw, context: Context) -> list[UUID]:
    """Invoices whose time is over on every network that they offer."""
    cursor = await connection.execute(
        _DUE,
        {
            "now": context.clock.now(),
            "grace": GRACE,
            "configured": list(context.catalog.networks),
            "limit": AT_ONCE,
        },
    )
    return [row[0] for row in await cursor.fetchall()]


async def expire(session: AsyncSession, context: Context, invoices: Collection[UUID]) -> int:
    """Judges invoices whose time is over; returns how many. The caller commits."""
    now, connection = context.clock.now(), await raw(session)
    cases = await lock(connection, invoices)
    heights, followed = await heights_of.load_all(connection, context.catalog)
    outcome = Outcome(context, heights, now)
    for case in cases.values():
        judge(case, followed, outcome)
    await save(connection, cases.values())
    posted = await post(session, outcome.entries)
    # A part that was available once (settled, then partly reversed) goes to the inbox.
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, now)
    await connection.execute(
        "select pg_notify('invoice', i) from unnest(%s::text[]) as i", ([i.hex for i in cases],)
    )
    return len(cases)
