"""A deposit to a customer's wallet that screening held and a person rejected: back to its payer.

It was never the customer's to spend. It passes through the wallet's `available` in one transaction,
so that a fork that takes it back overdraws that and stops the payout, as for every other one.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.db import raw
from core.errors import Conflict
from ledger.accounts import Debt, wallet
from ledger.journal import post
from payments import overdraft, payout_requests, wallet_deposits
from payments.cases import Outcome
from payments.payout_requests import ground
from payments.payout_tables import Payout, Refund
from payments.payout_views import refund_json
from payments.refund_shares import share_of, wanted
from payments.screened import rejected
from payments.tables import Deposit
from payments.wallet_deposits import Purse
from webhooks.events import NewEvent, emit


async def resolve(
    session: AsyncSession,
    context: Context,
    found: Deposit,
    address: str,
    initiator: str,
) -> dict[str, Any]:
    """All of it, less the network fee unless the house bears that.

    Raises Invalid, PriceUnavailable, Conflict `not_in_inbox`, `already_resolved`, `held`,
    `not_confirmed`, or `insufficient_funds` while a reversal has overdrawn the wallet: then the
    caller's transaction must roll back.
    """
    assert found.wallet_id is not None  # noqa: S101  (the caller looked)
    purse, deposit = await _locked(session, found.wallet_id, found.id)
    if deposit is None or deposit.inbox_reason is None or deposit.status == "orphaned":
        raise Conflict("this deposit is not in the inbox", code="not_in_inbox")
    if deposit.resolution is not None:
        raise Conflict(f"resolved already: {deposit.resolution}", code="already_resolved")
    if not rejected(purse, deposit):
        raise Conflict("screening holds this deposit", code="held")
    if deposit.status != "confirmed":
        raise Conflict("the deposit is not confirmed yet", code="not_confirmed")
    on = await ground(session, context, deposit.merchant_id, [address])
    share = share_of(context, (deposit.network, deposit.asset), deposit.amount, [deposit])
    to = payout_requests.address_of(on, share.network, address)
    fee = None if on.payout_fee == "house" else "customer"
    asked = wanted(on, share, to, fee)
    deposit.resolution, deposit.resolved_at = "refund", on.now
    await _settle(session, context, purse)
    [payout] = await payout_requests.store(
        session, context, deposit.merchant_id, [asked],
        initiator=initiator, source=wallet(purse.id, Debt.AVAILABLE),
    )  # fmt: skip
    row = Refund(
        id=ids.new(),
        merchant_id=deposit.merchant_id,
        invoice_id=None,
        deposit_id=deposit.id,
        payout_id=payout.id,
        variant="full",
        network=deposit.network,
        asset=deposit.asset,
        amount=deposit.amount,
        fee_paid_by=fee or payout.fee_paid_by,
        address=to,
        asked_by="merchant",
        created_at=on.now,
    )
    session.add(row)
    await session.flush()
    shown = refund_json(row, payout, context.catalog)
    told = [NewEvent(row.merchant_id, "refund.requested", shown["id"], shown)]
    await emit(session, told, on.now)
    return shown


async def put_back(session: AsyncSession, context: Context, payout: Payout) -> None:
    """A payout came to nothing: what it was to carry back waits for a decision again, and is not
    the customer's. What he has spent of it meanwhile overdraws his wallet, and a Break says so."""
    query = (
        select(Deposit)
        .join(Refund, Refund.deposit_id == Deposit.id)
        .where(Refund.payout_id == payout.id, Refund.invoice_id.is_(None))
    )
    found = (await session.scalars(query)).one_or_none()
    if found is None or found.wallet_id is None:
        return
    purse, deposit = await _locked(session, found.wallet_id, found.id)
    if deposit is not None and deposit.resolution == "refund":
        deposit.resolution = deposit.resolved_at = None
        await _settle(session, context, purse)


async def _locked(
    session: AsyncSession, wallet_id: UUID, deposit_id: UUID
) -> tuple[Purse, Deposit | None]:
    """The wallet under lock, and its deposit as it stands; None: nothing holds that any more."""
    purses = await wallet_deposits.lock(await raw(session), None, [wallet_id])
    purse = purses[wallet_id]
    return purse, next((d for d in purse.deposits if d.id == deposit_id), None)


async def _settle(session: AsyncSession, context: Context, purse: Purse) -> None:
    outcome = Outcome(context, {}, context.clock.now())
    wallet_deposits.settle([purse], outcome)
    await wallet_deposits.save(await raw(session), [purse])
    posted = await post(session, outcome.entries)
    await overdraft.review(session, posted.balances, outcome)
    await emit(session, outcome.events, outcome.now)
