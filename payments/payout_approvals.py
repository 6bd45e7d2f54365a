"""Approvals: what people sign so that a payout may leave (CHAIN 4).

The signer names who may approve and checks every signature again; what is kept here only saves
it the asking. A signature is verified before it is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.addresses import checksum
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.money import Asset
from core.pages import page_of
from payments.payout_facts import OPEN
from payments.payout_tables import Approval, ApprovalSignature, Payout
from wallets import intents
from wallets.intents import Payment
from wallets.signer import approvals as signed
from webhooks.events import NewEvent, emit

LIFETIME = timedelta(days=7)  # to be given, and to leave after that
UNATTENDED = timedelta(days=1)  # to leave without approvals

log = structlog.get_logger()


def payment_of(
    row: Payout, now: datetime, approval: Approval | None, given: Sequence[ApprovalSignature]
) -> Payment:
    """What the signer is asked to pay. With an approval it is exactly what was signed: raises
    Invalid where that can no longer be read from what was stored."""
    if approval is not None:
        payment = _signed(approval)
        gathered = (intents.Approval(approver=g.approver, signature=g.signature) for g in given)
        return replace(payment, approvals=tuple(gathered))
    return _payment(row, now + UNATTENDED, row.id.int)


def _signed(approval: Approval) -> Payment:
    payment, chain_id = signed.payment_of(approval.typed_data)
    try:
        same = signed.digest(payment, chain_id) == approval.digest
    except ValueError:  # numbers that no field holds
        same = False
    if not same:
        raise Invalid("this is not what approvers were asked to sign")
    return payment


def _payment(row: Payout, expires_at: datetime, nonce: int) -> Payment:
    return Payment(
        id=ids.show("pay", row.id),
        token=row.token,
        to=row.address,
        amount=row.amount,
        fee_cap=row.fee_cap,
        expires_at=int(expires_at.timestamp()),
        nonce=nonce,
        initiator=row.initiator,
    )


async def ask(
    session: AsyncSession,
    context: Context,
    row: Payout,
    approvers: Sequence[str],
    now: datetime,
) -> Approval:
    """A new approval of `row.needed` signatures by any of `approvers`, told to the merchant."""
    network = context.catalog.networks[row.network]
    asset = context.catalog.asset(row.asset) or Asset(row.asset, 0, 0)
    number = ids.new()
    expires_at = now + LIFETIME
    payment = _payment(row, expires_at, number.int)
    approval = Approval(
        id=number,
        payout_id=row.id,
        merchant_id=row.merchant_id,
        status="requested",
        typed_data=signed.typed_data(payment, network.chain_id, asset.symbol, asset.decimals),
        digest=signed.digest(payment, network.chain_id),
        nonce=number.int,
        needed=row.needed,
        approvers=list(approvers),
        address_kind=row.address_kind,
        created_at=now,
        expires_at=expires_at,
    )
    row.given = 0
    session.add(approval)
    await session.flush()
    shown = approval_json(approval, [])
    told = NewEvent(row.merchant_id, "approval.requested", shown["id"], shown)
    await emit(session, [told], now)
    return approval


async def give(
    session: AsyncSession,
    context: Context,
    row: Payout,
    approver: str,
    signature: str,
) -> Approval:
    """One approver's signature of a payout that the caller has locked; again is harmless.

    Raises Invalid `approval_invalid` or `unknown_approver`, Conflict `no_approval_needed` or
    `approval_expired`.
    """
    now = context.clock.now()
    approval = await current(session, row.id)
    if approval is None or approval.status == "withdrawn" or row.status not in OPEN:
        raise Conflict("this payout waits for no approval", code="no_approval_needed")
    if approval.expires_at <= now:
        raise Conflict("the time to approve this payout is over", code="approval_expired")
    who = approver.lower()
    if who not in approval.approvers:
        raise Invalid.of("approver", "is none of its approvers", code="unknown_approver")
    try:
        if signed.recover(approval.digest, signature) != who:
            raise ValueError("it is not this approver's, or over something else")
    except ValueError as error:
        raise Invalid.of("signature", str(error), code="approval_invalid") from None
    kept = insert(ApprovalSignature).values(
        approval_id=approval.id, approver=who, signature=signature, given_at=now
    )
    new = await session.scalar(kept.on_conflict_do_nothing().returning(ApprovalSignature.approver))
    if new is None:
        return approval
    row.given = await _count(session, approval.id)
    if row.given >= approval.needed:
        approval.status = "given"
    await session.flush()
    shown = approval_json(approval, await signatures(session, approval.id))
    await emit(session, [NewEvent(row.merchant_id, "approval.given", shown["id"], shown)], now)
    return approval


async def current(session: AsyncSession, payout_id: UUID) -> Approval | None:
    """The newest of a payout: the only one that counts."""
    query = select(Approval).where(Approval.payout_id == payout_id)
    found = await session.scalars(query.order_by(Approval.id.desc()).limit(1))
    return found.one_or_none()


async def newest(session: AsyncSession, payout_ids: Collection[UUID]) -> dict[UUID, Approval]:
    """`current` of several, by payout."""
    query = select(Approval).where(Approval.payout_id.in_(payout_ids)).order_by(Approval.id)
    return {one.payout_id: one for one in await session.scalars(query)}


async def signatures(session: AsyncSession, approval_id: UUID) -> Sequence[ApprovalSignature]:
    query = select(ApprovalSignature).where(ApprovalSignature.approval_id == approval_id)
    return (await session.scalars(query.order_by(ApprovalSignature.given_at))).all()


async def payments_now(
    session: AsyncSession, rows: Sequence[Payout], now: datetime
) -> dict[UUID, Payment]:
    """What the signer is asked to pay for each, with the signatures that are there. Without those
    whose approval cannot be read: nobody can tell what its approvers agreed to."""
    last = await newest(session, [row.id for row in rows])
    open_ = {k: one for k, one in last.items() if one.status in ("requested", "given")}
    given: dict[UUID, list[ApprovalSignature]] = {one.id: [] for one in open_.values()}
    if given:
        of = ApprovalSignature.approval_id.in_(given)
        order = ApprovalSignature.given_at
        for one in await session.scalars(select(ApprovalSignature).where(of).order_by(order)):
            given[one.approval_id].append(one)
    payments = {}
    for row in rows:
        approval = open_.get(row.id)
        try:
            those = given[approval.id] if approval else ()
            payments[row.id] = payment_of(row, now, approval, those)
        except Invalid as error:
            log.error("approval_unreadable", payout=ids.show("pay", row.id), error=str(error))
    return payments


async def withdraw(session: AsyncSession, payout_id: UUID, status: str = "withdrawn") -> None:
    """Nobody needs to sign any more (rejected), or nobody can (expired)."""
    open_ = (Approval.payout_id == payout_id) & (Approval.status == "requested")
    await session.execute(
        update(Approval)
        .where(open_)
        .values(status=status)
        .execution_options(synchronize_session=False)
    )


async def show(
    session: AsyncSession, approval_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    row = await session.get(Approval, approval_id) if approval_id else None
    if row is None or (merchant_id is not None and row.merchant_id != merchant_id):
        raise NotFound("no such approval")
    return approval_json(row, await signatures(session, row.id))


async def page(
    session: AsyncSession,
    merchant_id: UUID | None,
    *,
    status: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(
        session, Approval, limit, cursor, merchant_id=merchant_id, status=status
    )
    given: dict[UUID, list[ApprovalSignature]] = {row.id: [] for row in rows}
    of = ApprovalSignature.approval_id.in_(given)
    order = ApprovalSignature.given_at
    for one in await session.scalars(select(ApprovalSignature).where(of).order_by(order)):
        given[one.approval_id].append(one)
    return [approval_json(row, given[row.id]) for row in rows], more


def approval_json(row: Approval, given: Sequence[ApprovalSignature]) -> dict[str, Any]:
    """As the API shows it: `typed_data` is what a wallet signs, `digest` what that comes to."""
    return {
        "id": ids.show("apr", row.id),
        "object": "approval",
        "status": row.status,
        "payout": ids.show("pay", row.payout_id),
        "merchant": ids.show("mer", row.merchant_id),
        "typed_data": row.typed_data,
        "address_kind": row.address_kind or "unknown",
        "digest": "0x" + row.digest.hex(),
        "needed": row.needed,
        "given": len(given),
        "approvers": [checksum(address) for address in row.approvers],
        "approvals": [
            {"approver": checksum(one.approver), "given_at": show_time(one.given_at)}
            for one in given
        ],
        "created_at": show_time(row.created_at),
        "expires_at": show_time(row.expires_at),
    }


async def _count(session: AsyncSession, approval_id: UUID) -> int:
    query = select(func.count()).where(ApprovalSignature.approval_id == approval_id)
    return await session.scalar(query) or 0
