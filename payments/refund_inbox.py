"""A refund takes its deposits out of the inbox, and puts them back when it comes to nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw
from core.errors import Conflict
from ledger.accounts import Debt, merchant
from ledger.journal import post
from payments import heights as heights_of
from payments import overdraft
from payments.cases import Case, Outcome, judge, lock, save
from payments.facts import Pair
from payments.payout_facts import BACK
from payments.payout_tables import Payout, Refund
from payments.tables import Deposit
from webhooks.events import emit


async def given_back(session: AsyncSession, invoice_id: UUID, network: str, asset: str) -> int:
    """Base units of an invoice's money that went back, or are on their way."""
    query = (
        select(func.coalesce(func.sum(Refund.amount), 0))
        .join(Payout, Payout.id == Refund.payout_id)
        .where(
            Refund.invoice_id == invoice_id,
            Refund.network == network,
            Refund.asset == asset,
            Payout.status.not_in(BACK),
        )
    )
    return int(await session.scalar(query) or 0)


async def gone_of_counted(
    session: AsyncSession, invoice_id: UUID, uncounted: Collection[Deposit]
) -> dict[Pair, int]:
    """Base units that went back, or are on their way, less what surely was of deposits that do not
    count, in the inbox: one that was resolved there, and what a customer asked for."""
    query = (
        select(Refund)
        .join(Payout, Payout.id == Refund.payout_id)
        .where(Refund.invoice_id == invoice_id, Payout.status.not_in(BACK))
    )
    numbers = {d.id for d in uncounted}
    gone, of_inbox, out = Counter[Pair](), Counter[Pair](), Counter[Pair]()
    for refund in await session.scalars(query):
        gone[refund.network, refund.asset] += refund.amount
        of_customer = refund.asked_by == "customer" and refund.variant == "custom"
        if of_customer or refund.deposit_id in numbers:
            of_inbox[refund.network, refund.asset] += refund.amount
    for deposit in uncounted:  # what counts by now was perhaps asked for when it did not
        if deposit.resolution == "refund":
            out[deposit.network, deposit.asset] += deposit.amount
    return {pair: units - min(of_inbox[pair], out[pair]) for pair, units in gone.items()}


async def take_out(
    session: AsyncSession, context: Context, case: Case, deposits: Collection[UUID]
) -> None:
    """These deposits of a locked invoice are decided about: they are `available` to be sent."""
    now = context.clock.now()
    for deposit in case.deposits:
        if deposit.id in deposits:
            deposit.resolution, deposit.resolved_at = "refund", now
    await _rejudge(session, context, case, guarded=False)


async def back_to_inbox(session: AsyncSession, context: Context, payout: Payout) -> None:
    """A payout came to nothing: what its refund had taken out waits for a decision again.

    Unless another refund of the same money stands, or the merchant has spent it meanwhile.
    """
    query = select(Refund).where(Refund.payout_id == payout.id)
    refund = (await session.scalars(query)).one_or_none()
    if refund is None or refund.invoice_id is None:
        return
    case = (await lock(await raw(session), [refund.invoice_id]))[refund.invoice_id]
    if await given_back(session, refund.invoice_id, refund.network, refund.asset):
        return
    for deposit in case.deposits:
        same = (deposit.network, deposit.asset) == (refund.network, refund.asset)
        if same and deposit.resolution == "refund":
            deposit.resolution = deposit.resolved_at = None
    try:
        async with session.begin_nested():
            await _rejudge(session, context, case, guarded=True)
    except Conflict:
        return


async def _rejudge(session: AsyncSession, context: Context, case: Case, *, guarded: bool) -> None:
    """The same rule as ever, with the new fact."""
    now, connection = context.clock.now(), await raw(session)
    heights, followed = await heights_of.load_all(connection, context.catalog)
    outcome = Outcome(context, heights, now)
    judge(case, followed, outcome)
    await save(connection, [case])
    available = merchant(case.invoice.merchant_id, Debt.AVAILABLE)
    posted = await post(session, outcome.entries, guarded=[available] if guarded else [])
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, now)
    await connection.execute("select pg_notify('invoice', %s)", (case.invoice.id.hex,))
