"""`settle`: an authorization is taken once, carried by the worker, and waited for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import NotFound
from core.listen import notify
from core.money import Asset
from core.pages import newest_first
from payments import x402_limits, x402_pay_to
from payments.tables import Deposit, Invoice, NetworkCursor
from payments.x402_checks import CHANNEL, columns, heard, same
from payments.x402_tables import Settlement
from payments.x402_terms import NONCE_USED, NotPaid, Payment, judge
from wallets.addresses import checksum
from wallets.tables import Transaction, TransactionVariant

SECONDS = 15.0  # then the answer is `settlement_pending`
PENDING = "settlement_pending"
ENDED = ("done", "failed", "refused")
_PAID = {"settled": "done", "processing": "mined"}


async def settle(
    context: Context, merchant_id: UUID, payment: Payment, seconds: float = SECONDS
) -> dict[str, Any]:
    """x402's SettleResponse: done, failed or pending. The same authorization again is the one that
    is there. Raises NotPaid."""
    row = await take(context, merchant_id, payment)

    async def ended() -> dict[str, Any] | None:
        found = await show(context, row.id, merchant_id)
        return found if found["status"] in ENDED else None

    found = await heard(context, "invoice", row.invoice_id.hex, ended, seconds)
    return response(found or await show(context, row.id, merchant_id), payment)


async def take(context: Context, merchant_id: UUID, payment: Payment) -> Settlement:
    """Stored, and the worker told. Raises NotPaid."""
    signed, network, now = payment.authorization, payment.network, context.clock.now()
    async with context.database.begin() as session:
        standing = await _standing(session, merchant_id, payment)
        if standing is not None:
            return standing
        pay_to = await x402_pay_to.own(session, merchant_id)
        judge(payment, pay_to.address if pay_to else None, int(now.timestamp()))
        await x402_limits.check(session, network, merchant_id, now)
        values = columns(payment) | {
            "id": ids.new(),
            "merchant_id": merchant_id,
            "asset": payment.token.asset.symbol,
            "resource": payment.resource,
            "status": "requested",
            "invoice_id": ids.new(),
            "attempts": 0,
            "created_at": now,
            "due_at": now,
        }
        stored = insert(Settlement).values(**values).on_conflict_do_nothing()
        await session.execute(stored)
        await notify(session, CHANNEL)
        standing = await _standing(session, merchant_id, payment)
        if standing is None:  # refused meanwhile: the next try says why
            raise NotPaid(NONCE_USED, "it is being settled elsewhere", signed.payer)
        return standing


async def _standing(
    session: AsyncSession, merchant_id: UUID, payment: Payment
) -> Settlement | None:
    """Raises NotPaid where the authorization was taken for something else."""
    found = (await session.scalars(select(Settlement).where(*same(payment)))).one_or_none()
    if found is None:
        return None
    wanted = (merchant_id, payment.pay_to, payment.amount, payment.authorization.signature)
    if (found.merchant_id, found.pay_to, found.amount, found.signature) != wanted:
        said = "this nonce was settled for something else"
        raise NotPaid(NONCE_USED, said, payment.authorization.payer)
    return found


def response(shown: dict[str, Any], payment: Payment) -> dict[str, Any]:
    """As the protocol says it. Pending is a failure that may be asked again, with the same body."""
    done = shown["status"] == "done"
    told: dict[str, Any] = {
        "success": done,
        "payer": shown["payer"],
        "transaction": shown["tx_hash"] or "",
        "network": payment.said,
        "extra": {"settlement": shown["id"], "status": shown["status"]},
    }
    if done:
        return told | {"amount": str(payment.amount)}
    ended = shown["status"] in ENDED
    message = shown["detail"] if ended else f"GET /v1/x402/settlements/{shown['id']} says how it is"
    reason = (shown["reason"] or "transaction_failed") if ended else PENDING
    return told | {"errorReason": reason, "errorMessage": message or reason}


async def show(
    context: Context, settlement_id: UUID | None, merchant_id: UUID | None
) -> dict[str, Any]:
    """As the API shows it. Raises NotFound, also for another merchant's."""
    async with context.database.read() as session:
        query = _with_what_became().where(Settlement.id == settlement_id)
        found = (await session.execute(query)).one_or_none()
    if found is None or merchant_id not in (None, found[0].merchant_id):
        raise NotFound("no such settlement")
    return _json(context, *found)


async def page(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID | None,
    *,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    query = _with_what_became()
    if merchant_id is not None:
        query = query.where(Settlement.merchant_id == merchant_id)
    rows = (await session.execute(newest_first(query, Settlement.id, limit, cursor))).all()
    return [_json(context, *row) for row in rows[:limit]], len(rows) > limit


def _with_what_became() -> Select[Settlement, Transaction, Invoice, datetime, Any]:
    """Settlements, their transactions and invoices, until when their network is known, and the hash
    of what brought the money, whoever sent it; else of our newest variant that nodes know."""
    variant = TransactionVariant
    paid = select(Deposit.tx_hash).where(
        Deposit.invoice_id == Settlement.invoice_id, Deposit.status != "orphaned"
    )
    handed = select(variant.tx_hash).where(
        variant.transaction_id == Transaction.id, variant.handed_at.is_not(None)
    )
    tx_hash = func.coalesce(
        paid.order_by(Deposit.id).limit(1).scalar_subquery(),
        Transaction.tx_hash,
        handed.order_by(variant.made_at.desc()).limit(1).scalar_subquery(),
    )
    return (
        select(Settlement, Transaction, Invoice, NetworkCursor.followed_until, tx_hash)
        .outerjoin(Transaction, Transaction.id == Settlement.transaction_id)
        .outerjoin(Invoice, Invoice.id == Settlement.invoice_id)
        .outerjoin(NetworkCursor, NetworkCursor.network == Settlement.network)
    )


def _json(
    context: Context,
    row: Settlement,
    sent: Transaction | None,
    invoice: Invoice | None,
    known_until: datetime | None,
    tx_hash: str | None,
) -> dict[str, Any]:
    if sent is None:
        invoice = tx_hash = None
    status, reason = status_of(row, sent, invoice, known_until)
    asset = context.catalog.asset(row.asset) or Asset(row.asset, 0, 0)
    return {
        "id": ids.show("xst", row.id),
        "object": "x402_settlement",
        "status": status,
        "reason": reason,
        "detail": row.detail,
        "network": row.network,
        "asset": row.asset,
        "amount": asset.format(row.amount),
        "payer": checksum(row.payer),
        "pay_to": checksum(row.pay_to),
        "tx_hash": tx_hash,
        "invoice": ids.show("inv", row.invoice_id) if invoice else None,
        "resource": row.resource,
        "created_at": show_time(row.created_at),
    }


def status_of(
    row: Settlement,
    sent: Transaction | None,
    invoice: Invoice | None,
    known_until: datetime | None,
) -> tuple[str, str | None]:
    """requested, sending, mined, done, failed or refused, and why it failed.

    What its transaction and its invoice say, so that a fork needs no step of its own; done is what
    is deep enough for its value, and held by nobody. Where ours failed, somebody else may have sent
    the same authorization in a block that we have not read: until the chain is known up to the
    failure, nothing is.
    """
    if sent is None:
        return row.status, row.reason
    if invoice is not None and invoice.status in _PAID:
        return _PAID[invoice.status], None
    known = sent.ended_at and known_until and known_until > sent.ended_at
    if sent.succeeded is False or (known and sent.status in ("failed", "cancelled")):
        return "failed", "transaction_failed"
    return ("mined" if sent.status in ("mined", "confirmed") else "sending"), None
