"""Deadlines: an invoice closes once every network it offers is followed past its end."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw
from ledger.journal import post
from payments import heights as heights_of
from payments import overdraft
from payments.assess import GRACE
from payments.cases import Outcome, judge, lock
from webhooks.events import emit

AT_ONCE = 200

# A stalled network delays the expiry of what it offers, and of nothing else (MONEY 3).
_DUE = text("""
select id from invoices
where status = 'new' and expires_at < :now - cast(:grace as interval) and not exists (
    select from jsonb_array_elements(options) as o
    join unnest(cast(:configured as text[])) as n(id) on n.id = o ->> 'network'
    left join network_cursors c on c.network = n.id
    where c.followed_until is null
        or c.followed_until <= invoices.expires_at + cast(:grace as interval)
)
order by expires_at limit :limit
""")


async def expire_due(session: AsyncSession, context: Context) -> int:
    """Judges invoices whose time is over; returns how many. The caller commits."""
    now = context.clock.now()
    due = await session.scalars(
        _DUE,
        {
            "now": now,
            "grace": GRACE,
            "configured": list(context.catalog.networks),
            "limit": AT_ONCE,
        },
    )
    cases = await lock(session, due.all())
    if not cases:
        return 0
    outcome = Outcome(context, await heights_of.load(session), now)
    followed = await heights_of.followed(session, context.catalog)
    for case in cases.values():
        judge(case, followed, outcome)
    await session.flush()
    posted = await post(session, outcome.entries)
    # A part that was available once (settled, then partly reversed) goes to the inbox.
    await overdraft.review(session, context, posted.balances, outcome)
    await emit(session, outcome.events, now)
    connection = await raw(session)
    await connection.execute(
        "select pg_notify('invoice', i) from unnest(%s::text[]) as i", ([i.hex for i in cases],)
    )
    return len(cases)
