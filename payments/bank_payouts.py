"""Payouts to banks. The signer signs no bank transfer, so the house's own people are the authority:
operators release, each key counting once; a file orders it, and a statement's line is the proof.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Conflict, Forbidden, Invalid, NotFound
from payments import bank_accounts, payout_entries
from payments.payout_cases import Changes, lock, rejudge, rejudge_all
from payments.payout_facts import ALLOWED, COOLING, OPEN, Sent, Status
from payments.payout_reads import beside_of, find
from payments.payout_sending import lock_batch, wake_batch
from payments.payout_tables import MerchantBankAccount, Payout, Release
from payments.payout_views import payout_json
from payments.payouts import save
from risk import policies
from risk.rules import Initiator, Request
from risk.verdicts import Outcome

UNDER_WAY = (Status.APPROVED, Status.SENDING)  # what a line may show as paid
RETURNABLE = timedelta(days=90)  # after that, people look
REMOVED = "its bank account was removed"


async def judge(context: Context, payout_ids: Collection[UUID]) -> None:
    """The worker's step: policies and the account's age say what each waits for. Screening knows
    addresses and not names: who releases a payment looks at the name."""
    async with context.database.begin() as session:
        batches = select(Payout.batch_id).where(Payout.id.in_(payout_ids)).distinct()
        numbers = sorted(one for one in await session.scalars(batches) if one is not None)
        for batch_id in numbers:
            await lock_batch(session, batch_id)
        rows = await lock(session, Payout.id.in_(payout_ids))
        open_ = [row for row in rows if row.bank_account_id is not None and row.status in OPEN]
        accounts = await accounts_of(session, open_)
        changes = Changes(context, context.clock.now())
        asked = [_request(row, accounts[row.id], changes) for row in open_]
        decisions = await policies.admit_all(session, context, asked)
        for row, decision in zip(open_, decisions, strict=True):
            usable_at = accounts[row.id].usable_at
            cooling = usable_at > changes.now
            row.screening, row.signer = Outcome.ACCEPT.value, COOLING if cooling else ALLOWED
            row.policy, row.rule = decision.effect.value, decision.rule
            row.needed = max(1, decision.needed)
            row.due_at, row.leased_until = usable_at if cooling else None, None
            rejudge(row, changes)
        await save(session, changes)
        for batch_id in numbers:  # crypto of the same batch may have waited for these
            await wake_batch(session, batch_id, changes.now)


def _request(row: Payout, account: MerchantBankAccount, changes: Changes) -> Request:
    """As policies see it: an account that has cooled is a known destination."""
    return request_of(
        account,
        reference=ids.show("pay", row.id),
        initiator=row.initiator,
        network=row.network,
        amount=row.amount,
        house_value=row.house_value,
        at=row.created_at,
        known=account.usable_at <= changes.now,
    )


def request_of(account: MerchantBankAccount, *, initiator: str, **more: Any) -> Request:
    """`more`: the rest of a Request."""
    return Request(
        merchant_id=account.merchant_id,
        key_id=ids.read("key", initiator),
        initiator=Initiator.KEY,
        asset=account.asset,
        address=account.iban,
        group=None,
        **more,
    )


async def accounts_of(
    session: AsyncSession, rows: Sequence[Payout]
) -> Mapping[UUID, MerchantBankAccount]:
    """By the payout's id."""
    wanted = {row.bank_account_id for row in rows}
    query = select(MerchantBankAccount).where(MerchantBankAccount.id.in_(wanted))
    found = {one.id: one for one in await session.scalars(query)}
    return {row.id: found[row.bank_account_id] for row in rows if row.bank_account_id}


async def release(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    payout_id: UUID | None,
    key: str,
) -> dict[str, Any]:
    """An operator's word; with the last one that is needed it may be ordered. Again is harmless.

    merchant_id: of the caller, None: an operator. Raises NotFound; Invalid where it is no bank
    payout; Forbidden for a merchant and for whoever asked for it; Conflict `no_approval_needed`.
    """
    row = await find(session, payout_id, merchant_id, lock=True)
    if row.bank_account_id is None:
        raise Invalid.of("signature", "is required: an approver signs a payout on a chain")
    if merchant_id is not None or key == row.initiator:
        raise Forbidden("a payout to a bank is released by an operator who did not ask for it")
    if row.status != Status.HELD or not row.needed:
        raise Conflict("this payout waits for no approval", code="no_approval_needed")
    now = context.clock.now()
    kept = insert(Release).values(payout_id=row.id, released_by=key, given_at=now)
    await session.execute(kept.on_conflict_do_nothing())
    given = select(func.count()).where(Release.payout_id == row.id)
    row.given = await session.scalar(given) or 0
    return await _judged(session, context, row, Changes(context, now))


async def decline(
    session: AsyncSession, context: Context, payout_id: UUID | None, reason: str
) -> dict[str, Any]:
    """An operator says that the bank did not carry it out: the money is back. Again is harmless.
    Raises NotFound, Conflict `payout_not_sending`."""
    row = await find(session, payout_id, None, lock=True)
    if row.bank_account_id is None:
        raise NotFound("no such payout to a bank")
    changes = Changes(context, context.clock.now())
    if row.outcome != Sent.DECLINED:
        if row.status != Status.SENDING:
            raise Conflict(f"the payout is {row.status}", code="payout_not_sending")
        row.outcome, row.final, row.failure = Sent.DECLINED.value, True, reason
    return await _judged(session, context, row, changes)


async def _judged(
    session: AsyncSession, context: Context, row: Payout, changes: Changes
) -> dict[str, Any]:
    rejudge(row, changes)
    await save(session, changes)
    return payout_json(row, context.catalog, await beside_of(session, [row]))


async def ready(session: AsyncSession, asset: str, limit: int) -> Sequence[Payout]:
    """Released ones that no file holds, oldest first, locked."""
    query = (
        select(Payout)
        .where(
            Payout.bank_account_id.is_not(None),
            Payout.asset == asset,
            Payout.status == Status.APPROVED,
        )
        .order_by(Payout.id)
        .limit(limit)
        .with_for_update()
    )
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def ordered(
    session: AsyncSession, context: Context, rows: Sequence[Payout], export_id: UUID
) -> None:
    """A file holds these, which the caller has locked: no other one will."""
    changes = Changes(context, context.clock.now())
    for row in rows:
        row.bank_export_id, row.due_at = export_id, None
    rejudge_all(rows, changes)
    await save(session, changes)


async def shown(
    session: AsyncSession,
    context: Context,
    paid: Collection[UUID],
    returned: Collection[UUID],
    evidence: Mapping[UUID, dict[str, Any]],
) -> None:
    """What a bank's statement shows, by payout. Raises Conflict `payout_changed` where one became
    something else meanwhile: the statement may be taken in again."""
    changes = Changes(context, context.clock.now())
    rows = await lock(session, Payout.id.in_([*paid, *returned]))
    for row in rows:
        back = row.id in returned
        if row.status not in ((Status.PAID,) if back else UNDER_WAY):
            detail = f"{ids.show('pay', row.id)} has become {row.status} meanwhile"
            raise Conflict(detail, code="payout_changed")
        entry = payout_entries.paid(row, evidence[row.id], changes.now, reverse=back)
        changes.entries.append(entry)
        row.outcome, row.final = (Sent.RETURNED if back else Sent.SENT).value, True
        row.due_at, row.failure = None, "the bank brought it back" if back else None
    rejudge_all(rows, changes)
    await save(session, changes)


async def remove_account(
    session: AsyncSession, context: Context, merchant_id: UUID, account_id: UUID | None
) -> MerchantBankAccount:
    """Nobody is paid there any more: what waits is rejected. What a file ordered goes on. Raises
    NotFound."""
    account = await bank_accounts.find(session, merchant_id, account_id, lock=True)
    if account.removed_at is not None:
        return account
    changes = Changes(context, context.clock.now())
    account.removed_at = changes.now
    rows = await lock(session, Payout.bank_account_id == account.id, Payout.status.in_(OPEN))
    for row in rows:
        row.rejected = REMOVED
    rejudge_all(rows, changes)
    await save(session, changes)
    return account
