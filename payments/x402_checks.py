"""`verify`: what a request can tell by itself, then the worker's word within a few seconds
(CHAIN 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select

from core import ids
from core.clock import wall
from core.context import Context
from core.listen import notify
from payments import x402_limits, x402_pay_to
from payments.x402_tables import Check, Settlement
from payments.x402_terms import NONCE_USED, Authorization, NotPaid, Payment, judge
from wallets.addresses import checksum

T = TypeVar("T")

CHANNEL = "x402"  # work for `x402_checking` and `x402_settling`
ANSWERS = "x402_checked"
SECONDS = 3.0
POLL_SECONDS = 1.0  # behind the notifications
UNAVAILABLE = "unavailable"


async def verify(
    context: Context, merchant_id: UUID, payment: Payment, seconds: float = SECONDS
) -> dict[str, Any]:
    """x402's VerifyResponse. Raises NotPaid."""
    check_id = await _ask(context, merchant_id, payment)
    payer = payment.authorization.payer
    found = await heard(
        context, ANSWERS, str(check_id), lambda: _answer(context, check_id), seconds
    )
    if found is None or found.status == "unknown":
        raise NotPaid(UNAVAILABLE, "nobody could ask the chain in time", payer)
    if found.status == "invalid":
        raise NotPaid(found.reason or UNAVAILABLE, found.detail or "", payer)
    return {"isValid": True, "payer": checksum(payer)}


async def _ask(context: Context, merchant_id: UUID, payment: Payment) -> UUID:
    """Judged by what is stored, and handed to the worker."""
    signed, network, now = payment.authorization, payment.network, context.clock.now()
    async with context.database.begin() as session:
        pay_to = await x402_pay_to.own(session, merchant_id)
        judge(payment, pay_to.address if pay_to else None, int(now.timestamp()))
        if await session.scalar(select(Settlement.id).where(*same(payment))) is not None:
            raise NotPaid(NONCE_USED, "this authorization is settled already", signed.payer)
        await x402_limits.check(session, network, merchant_id, now)
        row = Check(id=ids.new(), status="requested", asked_at=wall(), **columns(payment))
        row.merchant_id = merchant_id
        session.add(row)
        await session.flush()
        await notify(session, CHANNEL)
        return row.id


def columns(payment: Payment) -> dict[str, Any]:
    """What checks and settlements keep of it."""
    signed: Authorization = payment.authorization
    return {
        "network": payment.network.id,
        "token": payment.token.address,
        "payer": signed.payer,
        "nonce": signed.nonce,
        "pay_to": payment.pay_to,
        "amount": signed.amount,
        "valid_after": signed.valid_after,
        "valid_before": signed.valid_before,
        "signature": signed.signature,
    }


def same(payment: Payment) -> tuple[Any, ...]:
    """Conditions on the settlement that carries this authorization, whoever asked for it."""
    return (
        Settlement.network == payment.network.id,
        Settlement.token == payment.token.address,
        Settlement.payer == payment.authorization.payer,
        Settlement.nonce == payment.authorization.nonce,
        Settlement.status != "refused",
    )


async def heard(
    context: Context,
    channel: str,
    name: str,
    look: Callable[[], Awaitable[T | None]],
    seconds: float,
) -> T | None:
    """What `look` gives as soon as it gives something, asked whenever `name` is notified."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with context.listener.subscribe(channel) as told:
        while True:
            found = await look()
            left = end - loop.time()
            if found is not None or left <= 0:
                return found
            again = loop.time() + min(left, POLL_SECONDS)
            while (rest := again - loop.time()) > 0:
                if await told.next(rest) in (name, ""):
                    break


async def _answer(context: Context, check_id: UUID) -> Check | None:
    async with context.database.read() as session:
        row = await session.get_one(Check, check_id)
    return None if row.status == "requested" else row
