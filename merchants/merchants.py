"""Merchants: who sells, what they accept, and how they are settled (MONEY 5)."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.context import Context
from core.errors import Invalid, NotFound
from core.money import FIAT
from core.networks import Catalog
from core.pages import page_of
from merchants.tables import Merchant


class SettleIn(StrEnum):
    """What becomes of an invoice's crypto when it settles (MONEY 5)."""

    CRYPTO = "crypto"
    """It stays what it is."""
    FIAT_AT_QUOTE = "fiat_at_quote"
    """Fiat at the invoice's locked rate less the spread; the house carries the risk."""
    FIAT_AT_FILL = "fiat_at_fill"
    """Fiat at the conversion's average less fees; the merchant carries the risk."""


class PayoutFee(StrEnum):
    """Who bears the network fee of a payout."""

    MERCHANT = "merchant"
    """It is reserved beside the payout."""
    HOUSE = "house"
    """The merchant pays the amount alone."""


def new_webhook_secret() -> str:
    """`whsec_` and 32 random bytes in base64, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


async def create(
    session: AsyncSession,
    context: Context,
    name: str,
    *,
    settle_in: str = SettleIn.CRYPTO,
    settle_currency: str | None = None,
    spread_percent: str = "0",
    payout_fee: str = PayoutFee.MERCHANT,
    accepts: Sequence[tuple[str, str]] | None = None,
    now: datetime,
) -> tuple[Merchant, str]:
    """A new merchant and the webhook secret, which can be shown this once. Raises Invalid.

    `accepts` holds (network, asset); None means all that is configured.
    """
    secret = new_webhook_secret()
    merchant_id = ids.new()
    merchant = Merchant(
        id=merchant_id,
        name=name,
        settle_in=str(settle_in),
        settle_currency=settle_currency,
        spread_percent=spread_percent,
        payout_fee=str(payout_fee),
        accepts=_pairs(accepts, context.catalog),
        webhook_secret=context.secrets.seal(
            secret.encode(), f"merchants.webhook_secret:{merchant_id}"
        ),
        created_at=now,
    )
    _check_settlement(merchant, context.catalog)
    session.add(merchant)
    await session.flush()
    return merchant, secret


async def update(
    session: AsyncSession, context: Context, merchant_id: UUID | None, changes: Mapping[str, Any]
) -> Merchant:
    """Sets the fields in `changes`, the rest stays. Raises NotFound, Invalid."""
    merchant = await find(session, merchant_id)
    for field, value in changes.items():
        setattr(merchant, field, _pairs(value, context.catalog) if field == "accepts" else value)
    _check_settlement(merchant, context.catalog)
    await session.flush()
    return merchant


async def find(session: AsyncSession, merchant_id: UUID | None) -> Merchant:
    """Raises NotFound."""
    merchant = await session.get(Merchant, merchant_id) if merchant_id else None
    if merchant is None:
        raise NotFound("no such merchant")
    return merchant


async def page(
    session: AsyncSession, *, limit: int, cursor: UUID | None
) -> tuple[list[Merchant], bool]:
    """Merchants, newest first, and whether there are more."""
    return await page_of(session, Merchant, limit, cursor)


def show(merchant: Merchant) -> dict[str, Any]:
    """The API's JSON of a merchant."""
    accepts = merchant.accepts
    return {
        "id": ids.show("mer", merchant.id),
        "object": "merchant",
        "name": merchant.name,
        "settle_in": merchant.settle_in,
        "settle_currency": merchant.settle_currency,
        "spread_percent": merchant.spread_percent,
        "payout_fee": merchant.payout_fee,
        "accepts": None if accepts is None else [{"network": n, "asset": a} for n, a in accepts],
        "created_at": clock.show(merchant.created_at),
    }


def _pairs(accepts: Sequence[tuple[str, str]] | None, catalog: Catalog) -> list[list[str]] | None:
    """What the table keeps; a pair that is not configured is refused."""
    if accepts is None:
        return None
    pairs: list[list[str]] = []
    for index, (network, asset) in enumerate(accepts):
        known = catalog.networks.get(network)
        if known is None:
            raise Invalid.of(f"accepts.{index}.network", "is not a configured network")
        if known.token(asset) is None:
            raise Invalid.of(f"accepts.{index}.asset", f"is not configured on {network}")
        if [network, asset] not in pairs:
            pairs.append([network, asset])
    return pairs


def _check_settlement(merchant: Merchant, catalog: Catalog) -> None:
    currency = merchant.settle_currency
    if currency is not None and currency not in FIAT:
        raise Invalid.of("settle_currency", "is no ISO 4217 currency")
    if merchant.settle_in == SettleIn.CRYPTO:
        return
    if currency is None:
        raise Invalid.of("settle_currency", f"is needed with settle_in {merchant.settle_in}")
    if currency not in catalog.currencies:  # no invoice of this merchant could be made
        known = ", ".join(sorted(set(FIAT) & catalog.currencies))
        raise Invalid.of("settle_currency", f"{currency} has no price here; known: {known}")
