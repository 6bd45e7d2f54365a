"""A refund takes its deposits out of the inbox, and puts them back when it comes to nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
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


async def given_back(session: AsyncSession, case: Case, pair: Pair) -> int:
    """Base units of an invoice's money that went back, or are on their way."""
    standing = await _standing(session, case)
    return sum(one.amount for one in standing if (one.network, one.asset) == pair)


async def _standing(session: AsyncSession, case: Case) -> Sequence[Refund]:
    """Refunds of a locked invoice whose payouts have not come to nothing."""
    query = (
        select(Refund)
        .join(Payout, Payout.id == Refund.payout_id)
        .where(Refund.invoice_id == case.invoice.id, Payout.status.not_in(BACK))
    )
    return (await session.scalars(query)).all()


async def gone_of_counted(
    session: AsyncSession, case: Case, uncounted: Collection[Deposit]
) -> dict[Pair, int]:
    """Base units that went back, or are on their way, less what surely was of deposits that do not
    count, in the inbox: one that was resolved there, and what a customer asked for."""
    numbers = {d.id for d in uncounted}
    gone, of_inbox, out = Counter[Pair](), Counter[Pair](), Counter[Pair]()
    for refund in await _standing(session, case):
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

    Unless another refund may be of the same money, or the merchant has spent it meanwhile.
    """
    query = select(Refund).where(Refund.payout_id == payout.id)
    refund = (await session.scalars(query)).one_or_none()
    if refund is None or refund.invoice_id is None:
        return
    pair = refund.network, refund.asset
    case = (await lock(await raw(session), [refund.invoice_id]))[refund.invoice_id]
    standing = [one for one in await _standing(session, case) if (one.network, one.asset) == pair]
    if any(one.deposit_id is None for one in standing):
        return
    elsewhere = {one.deposit_id for one in standing}
    for deposit in case.deposits:
        same = (deposit.network, deposit.asset) == pair and deposit.id not in elsewhere
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
