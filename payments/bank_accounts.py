"""Bank accounts that a merchant may be paid at. A new one cools as an address does in
risk.addressbook: whoever steals a key cannot be paid at his own bank in the same hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids, sepa
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from payments.payout_tables import MerchantBankAccount


async def add(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    *,
    holder: str,
    iban: str,
    bic: str | None,
    currency: str,
    author: str,
) -> MerchantBankAccount:
    """Usable once `RiskSettings.cooling` has passed. Raises Invalid naming the field
    (`invalid_iban`, `own_account`, `unknown_currency`), Conflict `already_known`."""
    now = context.clock.now()
    ours = context.banks.values()
    currencies = sorted({bank.asset.symbol for bank in ours})
    if currency not in currencies:
        known = ", ".join(currencies) or "none is"
        detail = f"payouts leave in the currencies of the house's banks: {known}"
        raise Invalid.of("currency", detail, code="unknown_currency")
    try:
        plain = sepa.iban(iban)
    except ValueError as error:
        raise Invalid.of("iban", str(error), code="invalid_iban") from None
    if plain in {bank.iban for bank in ours}:
        raise Invalid.of("iban", "is the house's own account", code="own_account")
    row = MerchantBankAccount(
        id=ids.new(),
        merchant_id=merchant_id,
        asset=currency,
        holder=_written("holder", holder),
        iban=plain,
        bic=_bic(bic) if bic is not None else None,
        author=author,
        created_at=now,
        usable_at=now + timedelta(seconds=context.risk.cooling),
        removed_at=None,
    )
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise Conflict("this account is known already", code="already_known") from None
    return row


async def find(
    session: AsyncSession, merchant_id: UUID | None, account_id: UUID | None, *, lock: bool = False
) -> MerchantBankAccount:
    """Of this merchant, or (None) of anybody. Raises NotFound."""
    query = select(MerchantBankAccount).where(MerchantBankAccount.id == account_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.scalars(query)).one_or_none() if account_id else None
    if row is None or merchant_id not in (None, row.merchant_id):
        raise NotFound("no such bank account")
    return row


async def named(
    session: AsyncSession, merchant_id: UUID, accounts: Sequence[str | None]
) -> dict[UUID, MerchantBankAccount]:
    """A merchant's accounts among `bnk_...`, kept from being removed until the commit."""
    wanted = {number for text in accounts if text and (number := ids.read("bnk", text))}
    if not wanted:
        return {}
    query = select(MerchantBankAccount).where(
        MerchantBankAccount.id.in_(wanted),
        MerchantBankAccount.merchant_id == merchant_id,
        MerchantBankAccount.removed_at.is_(None),
    )
    query = query.order_by(MerchantBankAccount.id).with_for_update(read=True)
    return {row.id: row for row in await session.scalars(query)}


async def page(
    session: AsyncSession, merchant_id: UUID, *, limit: int, cursor: UUID | None
) -> tuple[list[MerchantBankAccount], bool]:
    """Those that may be named, newest first, and whether there are more."""
    there = MerchantBankAccount.removed_at.is_(None)
    return await page_of(
        session, MerchantBankAccount, limit, cursor, there, merchant_id=merchant_id
    )


def bank_account_json(row: MerchantBankAccount, now: datetime) -> dict[str, Any]:
    """The API's JSON of an account."""
    status = "usable" if row.usable_at <= now else "cooling"
    return {
        "id": ids.show("bnk", row.id),
        "object": "bank_account",
        "merchant": ids.show("mer", row.merchant_id),
        "holder": row.holder,
        "iban": row.iban,
        "bic": row.bic,
        "currency": row.asset,
        "status": "removed" if row.removed_at else status,
        "author": row.author,
        "created_at": show_time(row.created_at),
        "usable_at": show_time(row.usable_at),
        "removed_at": show_time(row.removed_at) if row.removed_at else None,
    }


def _written(field: str, text: str) -> str:
    """As it was given, if a bank's letters can say it."""
    try:
        sepa.latin(text)
    except ValueError as error:
        raise Invalid.of(field, str(error)) from None
    return " ".join(text.split())


def _bic(text: str) -> str:
    try:
        return sepa.bic(text)
    except ValueError as error:
        raise Invalid.of("bic", str(error), code="invalid_bic") from None
