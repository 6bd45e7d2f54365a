"""Applies screening's words about deposits, whenever they come: the worker's part."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import Raw, raw
from core.work import run_alone
from ledger.journal import post
from payments import heights as heights_of
from payments import overdraft, wallet_deposits
from payments.cases import Outcome, judge, lock, save
from payments.depth import confirm, release
from risk.screening import CHANNEL
from webhooks.events import emit

AT_ONCE = 100

# What waited for a word that is there by now, what is held against one that accepts, and what lies
# with a customer's money though a person has rejected it.
_DUE = """
select d.invoice_id, d.wallet_id from deposits d
join screenings s on s.subject = 'deposit' and s.subject_id = d.id
where d.status = 'pending' and d.waiting_for = 'screening'
    and (s.status = 'done' or s.reasons <> '[]')
union
select d.invoice_id, d.wallet_id from deposits d
join screenings s on s.subject = 'deposit' and s.subject_id = d.id
where d.held and d.status = 'confirmed' and (s.verdict = 'accept'
    or d.wallet_id is not null and d.account = 'pending' and s.decided_at is not null)
limit %s
"""


async def due(connection: Raw) -> list[tuple[UUID | None, UUID | None]]:
    """Invoices, or wallets, about whose deposits screening says something else by now."""
    return await (await connection.execute(_DUE, (AT_ONCE,))).fetchall()


async def rejudge(
    session: AsyncSession,
    context: Context,
    invoices: Collection[UUID],
    wallets: Collection[UUID] = (),
) -> None:
    """Applies screening's words. The caller commits."""
    now, connection = context.clock.now(), await raw(session)
    cases = await lock(connection, invoices)
    purses = await wallet_deposits.lock(connection, None, wallets)
    heights, followed = await heights_of.load_all(connection, context.catalog)
    outcome = Outcome(context, heights, now)
    release(cases.values())
    for network in context.catalog.networks.values():
        if network.id in heights:
            for case, deposit in confirm(network, cases.values(), heights[network.id], now):
                outcome.tell_deposit("confirmed", case, deposit)
    for case in cases.values():
        judge(case, followed, outcome)
    wallet_deposits.rejudge(context, purses.values(), outcome)
    await save(connection, cases.values())
    await wallet_deposits.save(connection, purses.values())
    posted = await post(session, outcome.entries)
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, now)
    await connection.execute(
        "select pg_notify('invoice', i) from unnest(%s::text[]) as i", ([i.hex for i in cases],)
    )


async def step(context: Context) -> int:
    """What the worker does when screening has spoken; how many holders of deposits it was about."""
    async with context.database.statement() as connection:
        found = await due(connection)
    for invoice_id, wallet_id in found:
        async with context.database.begin() as session:
            await rejudge(
                session,
                context,
                [invoice_id] if invoice_id else [],
                [wallet_id] if wallet_id else [],
            )
    return len(found)


async def run(context: Context) -> None:
    """Works until cancelled."""
    await run_alone(context, "screened", CHANNEL, lambda: step(context), full=AT_ONCE)
