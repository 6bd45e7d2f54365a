"""Payouts and batches as they are read: one, or a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import NotFound
from core.ids import show as show_id
from core.pages import page_of
from payments.payout_tables import Approval, Payout, PayoutBatch, Refund
from payments.payout_views import Beside, batch_json, payout_json

_TRANSACTIONS = text("""
select t.id, t.nonce, t.status,
    coalesce(jsonb_agg(jsonb_build_object('tx_hash', v.tx_hash) order by v.made_at, v.tx_hash)
        filter (where v.tx_hash is not null), '[]') as variants
from transactions t left join transaction_variants v on v.transaction_id = t.id
where t.id = any(:ids) group by t.id
""")


async def find(
    session: AsyncSession, payout_id: UUID | None, merchant_id: UUID | None, *, lock: bool = False
) -> Payout:
    """Raises NotFound for an unknown id and for another merchant's alike."""
    query = select(Payout).where(Payout.id == payout_id)
    if merchant_id is not None:
        query = query.where(Payout.merchant_id == merchant_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.scalars(query)).one_or_none() if payout_id else None
    if row is None:
        raise NotFound("no such payout")
    return row


async def show(
    session: AsyncSession, context: Context, payout_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """Raises NotFound."""
    row = await find(session, payout_id, merchant_id)
    return payout_json(row, context.catalog, await beside_of(session, [row]))


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    status: str | None,
    asset: str | None = None,
    reference: str | None,
    batch: UUID | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(
        session,
        Payout,
        limit,
        cursor,
        merchant_id=merchant_id,
        status=status,
        asset=asset,
        reference=reference,
        batch_id=batch,
    )
    beside = await beside_of(session, rows)
    return [payout_json(row, context.catalog, beside) for row in rows], more


async def show_batch(
    session: AsyncSession, context: Context, batch_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """With all its payouts, at most 500. Raises NotFound."""
    query = select(PayoutBatch).where(PayoutBatch.id == batch_id)
    if merchant_id is not None:
        query = query.where(PayoutBatch.merchant_id == merchant_id)
    batch = (await session.scalars(query)).one_or_none() if batch_id else None
    if batch is None:
        raise NotFound("no such batch")
    query_rows = select(Payout).where(Payout.batch_id == batch.id).order_by(Payout.id)
    rows = (await session.scalars(query_rows)).all()
    return batch_json(batch, rows, context.catalog, await beside_of(session, rows))


async def batches(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, with their summaries but without their payouts, and whether there are more."""
    found, more = await page_of(session, PayoutBatch, limit, cursor, merchant_id=merchant_id)
    rows: dict[UUID | None, list[Payout]] = defaultdict(list)
    of = Payout.batch_id.in_([batch.id for batch in found])
    for row in await session.scalars(select(Payout).where(of)):
        rows[row.batch_id].append(row)
    shown = [batch_json(batch, rows[batch.id], context.catalog) for batch in found]
    return [{**one, "payouts": []} for one in shown], more


async def beside_of(session: AsyncSession, rows: Sequence[Payout]) -> Beside:
    """Transactions, approvals and refunds of these payouts: one statement each."""
    if not rows:
        return Beside()
    numbers = [row.id for row in rows]
    query = select(Approval).where(Approval.payout_id.in_(numbers)).order_by(Approval.id)
    approvals = await session.scalars(query)
    refunds = await session.scalars(select(Refund).where(Refund.payout_id.in_(numbers)))
    return Beside(
        transactions=await _transactions(session, rows),
        approvals={row.payout_id: row.id for row in approvals},  # the newest
        refunds={row.payout_id: row for row in refunds if row.payout_id},
    )


async def _transactions(
    session: AsyncSession, rows: Sequence[Payout]
) -> dict[UUID, list[dict[str, Any]]]:
    carried = {row.transaction_id: row.id for row in rows if row.transaction_id}
    if not carried:
        return {}
    by_transaction: dict[UUID, list[UUID]] = defaultdict(list)
    for row in rows:
        if row.transaction_id:
            by_transaction[row.transaction_id].append(row.id)
    shown: dict[UUID, list[dict[str, Any]]] = {}
    found = await session.execute(_TRANSACTIONS, {"ids": list(carried)})
    for number, nonce, status, variants in found:
        one = {
            "id": show_id("tx", number),
            "nonce": nonce,
            "tx_hash": variants[-1]["tx_hash"] if variants else None,
            "status": status,
            "variants": variants,
        }
        shown |= {payout_id: [one] for payout_id in by_transaction[number]}
    return shown
