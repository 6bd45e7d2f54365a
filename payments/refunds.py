"""Refunds: an invoice's money back to whoever paid it, to an address that he names.

The merchant asks for one and it is a payout at once; a customer asks at the checkout, and the
merchant confirms or rejects it. Never more goes back than came and was confirmed: every way here
locks the invoice first.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from payments import payout_requests, refund_amounts, wallet_refunds
from payments.cases import Case
from payments.deposits import find as find_deposit
from payments.deposits import invoice_of
from payments.facts import InboxReason
from payments.payout_requests import Ground, ground
from payments.payout_tables import Refund
from payments.payout_views import refund_json
from payments.refund_inbox import take_out
from payments.refund_shares import (
    NewRefund,
    Share,
    case_of,
    excess_of,
    left_of,
    of_asked,
    of_customer,
    of_request,
    share_of,
    wanted,
)
from payments.screened import rejected
from webhooks.events import NewEvent, emit

REPLACED = "the customer named another address"


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    invoice_id: UUID | None,
    request: NewRefund,
    initiator: str,
) -> dict[str, Any]:
    """A refund that is under way. Raises NotFound, Invalid, PriceUnavailable, Conflict
    `nothing_refundable`, `not_overpaid` or `insufficient_funds`."""
    case = await case_of(session, merchant_id, invoice_id)
    on = await ground(session, context, merchant_id, [request.address])
    share = await of_request(session, context, case, request)
    to = payout_requests.address_of(on, share.network, request.address)
    row = _row(case, share, request.variant, to, "merchant", on)
    return await _pay(session, context, on, case, share, row, request.fee, initiator)


async def resolve(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    deposit_id: UUID | None,
    address: str | None,
    initiator: str,
) -> dict[str, Any]:
    """One deposit of the inbox, whole, back to an address; also one to a customer's wallet that a
    person rejected. Raises as `create`, and Conflict `not_in_inbox`, `already_resolved`, `held` or
    `not_confirmed`."""
    found = await find_deposit(session, deposit_id, merchant_id)
    if address is None:
        raise Invalid.of("address", "is required: where the money goes back to")
    if found.wallet_id is not None:
        return await wallet_refunds.resolve(session, context, found, address, initiator)
    case = await case_of(session, merchant_id, invoice_of(found))
    deposit = next(d for d in case.deposits if d.id == found.id)
    if deposit.inbox_reason is None or deposit.status == "orphaned":
        raise Conflict("this deposit is not in the inbox", code="not_in_inbox")
    if deposit.resolution not in (None, "ignore"):
        raise Conflict(f"resolved already: {deposit.resolution}", code="already_resolved")
    if deposit.held and not rejected(case, deposit):
        raise Conflict("screening holds this deposit", code="held")
    if deposit.status != "confirmed":
        raise Conflict("the deposit is not confirmed yet", code="not_confirmed")
    on = await ground(session, context, merchant_id, [address])
    pair = deposit.network, deposit.asset
    left = deposit.amount if deposit.held else await left_of(session, case, pair)
    if deposit.inbox_reason == "overpaid":
        excess = await excess_of(session, context, case, pair)
        left = excess[0] if excess is not None else 0
    if left == 0:
        raise Conflict("all of it went back, or is on its way", code="nothing_refundable")
    share = share_of(context, pair, min(left, deposit.amount), [deposit])
    to = payout_requests.address_of(on, share.network, address)
    row = _row(case, share, "full", to, "merchant", on)
    row.deposit_id = deposit.id
    return await _pay(session, context, on, case, share, row, None, initiator)


async def ask(
    session: AsyncSession, context: Context, invoice_id: UUID | None, address: str
) -> list[dict[str, Any]]:
    """A customer names where what is his should go: what lies in the inbox, or the excess. Nothing
    is set aside before the merchant's word; a new address replaces the one before.

    Raises NotFound, Invalid, Conflict `nothing_refundable`.
    """
    case = await case_of(session, None, invoice_id)
    merchant_id = case.invoice.merchant_id
    on = await ground(session, context, merchant_id, [address])
    shares = await of_customer(session, context, case)
    if not shares:
        raise Conflict("nothing of this invoice waits to go back", code="nothing_refundable")
    query = select(Refund).where(
        Refund.invoice_id == case.invoice.id,
        Refund.payout_id.is_(None),
        Refund.rejected.is_(None),
    )
    for before in await session.scalars(query.with_for_update()):
        before.rejected = REPLACED
    rows = []
    for variant, share in shares:
        to = payout_requests.address_of(on, share.network, address)
        rows.append(_row(case, share, variant, to, "customer", on))
    session.add_all(rows)
    await session.flush()
    shown = [refund_json(row, None, context.catalog) for row in rows]
    told = [NewEvent(merchant_id, "refund.requested", one["id"], one) for one in shown]
    await emit(session, told, on.now)
    return shown


async def confirm(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    refund_id: UUID | None,
    fee: str | None,
    initiator: str,
) -> dict[str, Any]:
    """The merchant's word for what a customer asked. Raises as `create`, and Conflict
    `refund_not_open`."""
    row = await find(session, refund_id, merchant_id)
    case = await case_of(session, merchant_id, row.invoice_id)
    await session.refresh(row, with_for_update=True)
    if row.payout_id is not None or row.rejected is not None:
        raise Conflict("this refund waits for nobody's word", code="refund_not_open")
    on = await ground(session, context, merchant_id, [row.address])
    share = await of_asked(session, context, case, row)
    return await _pay(session, context, on, case, share, row, fee, initiator)


async def reject(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    refund_id: UUID | None,
    reason: str,
) -> dict[str, Any]:
    """The merchant's no to a customer. Raises NotFound, Conflict `refund_not_open`."""
    row = await find(session, refund_id, merchant_id)
    await session.refresh(row, with_for_update=True)
    if row.payout_id is not None or row.rejected is not None:
        raise Conflict("this refund waits for nobody's word", code="refund_not_open")
    row.rejected = reason
    await session.flush()
    shown = refund_json(row, None, context.catalog)
    told = [NewEvent(merchant_id, "refund.rejected", shown["id"], shown)]
    await emit(session, told, context.clock.now())
    return shown


async def find(session: AsyncSession, refund_id: UUID | None, merchant_id: UUID | None) -> Refund:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    row = await session.get(Refund, refund_id) if refund_id else None
    if row is None or (merchant_id is not None and row.merchant_id != merchant_id):
        raise NotFound("no such refund")
    return row


async def _pay(
    session: AsyncSession,
    context: Context,
    on: Ground,
    case: Case,
    share: Share,
    row: Refund,
    fee: str | None,
    initiator: str,
) -> dict[str, Any]:
    """Out of the inbox, set aside, and on its way, in the caller's transaction."""
    taken = {d.id for d in refund_amounts.out_of_inbox(share.deposits, share.units)}
    if row.variant != "custom":  # also where only its excess stood in the inbox
        taken |= {d.id for d in share.deposits if d.inbox_reason == InboxReason.OVERPAID}
    if taken:
        await take_out(session, context, case, taken)
    asked = wanted(on, share, row.address, fee)
    [payout] = await payout_requests.store(
        session, context, row.merchant_id, [asked], initiator=initiator
    )
    row.payout_id, row.fee_paid_by = payout.id, fee or payout.fee_paid_by
    session.add(row)
    await session.flush()
    shown = refund_json(row, payout, context.catalog)
    told = [NewEvent(row.merchant_id, "refund.requested", shown["id"], shown)]
    await emit(session, told, on.now)
    return shown


def _row(case: Case, share: Share, variant: str, address: str, asked_by: str, on: Ground) -> Refund:
    return Refund(
        id=ids.new(),
        merchant_id=case.invoice.merchant_id,
        invoice_id=case.invoice.id,
        variant=variant,
        network=share.network.id,
        asset=share.token.asset.symbol,
        amount=share.units,
        address=address,
        asked_by=asked_by,
        created_at=on.now,
    )
