"""A merchant's `payTo`, and what a resource of his demands."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.db import raw
from core.errors import Conflict, Invalid, InvalidAmount
from core.money import Asset
from core.networks import Network, Token
from core.singleton import lock_number
from payments.tables import Invoice
from payments.values import owed
from payments.x402_tables import PayTo
from payments.x402_terms import SCHEME, kinds, name_of
from prices import book
from wallets.addresses import checksum, deposit_address
from wallets.tables import DepositAddress

STRAYS = "Money that came to the x402 address outside of a settlement"


async def own(session: AsyncSession, merchant_id: UUID) -> PayTo | None:
    return await session.get(PayTo, merchant_id)


async def open_(session: AsyncSession, context: Context, merchant_id: UUID) -> PayTo:
    """The merchant's address, made when it is first asked for. Raises Conflict `no_x402`."""
    number = lock_number(f"x402:{merchant_id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    found = await own(session, merchant_id)
    if found is not None:
        return found
    offered = kinds(context.catalog)
    if not offered:
        raise Conflict("no token of this installation can be paid by x402", code="no_x402")
    network, now = offered[0][0], context.clock.now()
    assert network.factory is not None  # noqa: S101  (kinds() saw to it)
    assert network.deposit_init_code_hash is not None  # noqa: S101  (the settings did)
    address_id = ids.new()
    address = deposit_address(network.factory, network.deposit_init_code_hash, address_id)
    invoice = _closed(context, merchant_id, address, now)
    session.add(invoice)
    await session.flush()
    session.add(
        DepositAddress(
            address=address,
            id=address_id,
            merchant_id=merchant_id,
            invoice_id=invoice.id,
            watch_until=now,  # takes tokens: their logs are watched for ever
            created_at=now,
        )
    )
    found = PayTo(
        merchant_id=merchant_id,
        address=address,
        address_id=address_id,
        invoice_id=invoice.id,
        created_at=now,
    )
    session.add(found)
    await session.flush()
    return found


def _closed(context: Context, merchant_id: UUID, address: str, now: datetime) -> Invoice:
    """An invoice that nothing pays: what arrives for it waits in the inbox for a decision."""
    house = context.catalog.asset(context.catalog.house_currency)
    assert house is not None  # noqa: S101  (the settings saw to it)
    return Invoice(
        id=ids.new(),
        merchant_id=merchant_id,
        status="expired",
        exception="none",
        currency=house.symbol,
        currency_decimals=house.decimals,
        amount=1,
        amount_paid=0,
        amount_confirmed=0,
        tolerance=0,
        address=address,
        options=[],
        reference="x402",
        description=STRAYS,
        metadata_={},
        created_at=now,
        expires_at=now,
        monitored_until=now,
    )


async def requirements(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    *,
    version: int,
    amount: str,
    asset: str | None,
    currency: str | None,
    network: str | None,
    resource: str,
    description: str | None,
    seconds: int,
) -> dict[str, Any]:
    """The body of a 402 for a price in an asset, or in a currency at the price of now.

    Raises Invalid, PriceUnavailable, Conflict `no_x402`.
    """
    if (asset is None) == (currency is None):
        raise Invalid.of("asset", "either asset or currency is named")
    pairs = [
        (n, t)
        for n, t in kinds(context.catalog)
        if asset in (None, t.asset.symbol) and network in (None, n.id)
    ]
    if not pairs:
        raise Invalid.of("asset" if asset else "network", "x402 does not take it here")
    pay_to = checksum((await open_(session, context, merchant_id)).address)
    prices = await book.load(await raw(session))
    accepts = []
    for n, t in pairs:
        units = _units(context, prices, amount, currency, t.asset)
        accepts.append(_entry(version, n, t, units, pay_to, resource, description, seconds))
    shown: dict[str, Any] = {"x402Version": version, "accepts": accepts}
    if version == 2:
        shown["resource"] = {"url": resource, "description": description or ""}
    return shown


def _units(
    context: Context, prices: book.PriceBook, amount: str, currency: str | None, asset: Asset
) -> int:
    unit = asset if currency is None else context.catalog.asset(currency)
    if unit is None or (currency is not None and currency not in context.catalog.currencies):
        raise Invalid.of("currency", f"{currency!r} has no price here")
    try:
        units = unit.parse(amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if currency is not None:
        rate = prices.rate(asset.symbol, currency, context.clock.now())
        units = owed(units, unit, asset, rate.price)
    if units == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    return units


def _entry(
    version: int,
    network: Network,
    token: Token,
    units: int,
    pay_to: str,
    resource: str,
    description: str | None,
    seconds: int,
) -> dict[str, Any]:
    assert token.eip3009 is not None  # noqa: S101  (kinds() saw to it)
    entry: dict[str, Any] = {
        "scheme": SCHEME,
        "network": name_of(network, version),
        "asset": checksum(token.address),
        "payTo": pay_to,
        "maxTimeoutSeconds": seconds,
        "extra": {"name": token.eip3009.name, "version": token.eip3009.version},
    }
    if version == 1:
        told = {"resource": resource, "description": description or "", "mimeType": ""}
        return entry | told | {"maxAmountRequired": str(units)}
    return entry | {"amount": str(units)}
