"""What is set aside for merchants who settle at the fill (MONEY 5), and what conversions brought.

The merchant carries the price: what his money was converted for, less fees, is his. Conversions
serve invoices in the order that these were made; one that came to less leaves the rest waiting.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import NotFound
from core.money import Asset
from ledger.accounts import ROUNDING, TRADING
from ledger.journal import Entry, Kind, post, transfer
from ledger.units import coarse, fine
from payments import settle_in
from payments.cases import options_of
from payments.settle_entries import assets_of, converted, write
from payments.tables import Invoice

_WAITS = "(settlement ->> 'waits') = 'true' and settlement ->> 'currency' = :currency"
_WAITING = text(f"""
select coalesce(sum((settlement -> 'units' ->> :asset)::numeric
    - coalesce((settlement -> 'sold' ->> :asset)::numeric, 0)), 0)
from invoices where {_WAITS}
""")  # noqa: S608 - our own words


async def waiting(session: AsyncSession, asset: str, currency: str) -> int:
    """Base units of `asset` that are set aside to become `currency`."""
    return int(await session.scalar(_WAITING, {"asset": asset, "currency": currency}) or 0)


async def distribute(
    session: AsyncSession,
    context: Context,
    asset: str,
    currency: str,
    given: int,
    got: int,
    reference: str,
) -> None:
    """A conversion gave `given` of `asset` and got `got` of `currency`, fees in, both in units of
    10**-18: each invoice has its share at that average, rounded down to minor units, and what all
    that rounding leaves is the house's (`rounding`).

    What it gave beyond what is set aside by now (the chain took money back meanwhile) was the
    house's own: it stays in `trading`. `reference` makes it happen once.
    """
    sold, fiat = _asset(context, asset), _asset(context, currency)
    left = whole = coarse(sold, given)[0]
    entries: list[Entry] = []
    paid, now = 0, context.clock.now()
    for invoice in await _invoices(session, currency) if whole else ():
        assert invoice.settlement is not None  # noqa: S101  (asked for by it)
        terms = settle_in.parse(invoice.settlement)
        part = min(left, terms.waiting().get(asset, 0))
        if not part:
            continue
        amount = coarse(fiat, got * part // whole)[0]
        left, paid = left - part, paid + amount
        wanted = replace(
            terms,
            sold={**terms.sold, asset: terms.sold.get(asset, 0) + part},
            fiat={**terms.fiat, asset: terms.fiat.get(asset, 0) + amount},
        )
        locked = assets_of(options_of(invoice)).get(asset, sold)
        lines = converted(invoice.merchant_id, locked, part, terms.fiat_asset, amount)
        entries += write(invoice, wanted, lines, {"conversion": reference}, now)
        if not left:
            break
    rest = got * (whole - left) // whole - fine(fiat, paid) if whole else 0
    if rest:
        entries.append(_rounding(reference, fiat.at_venue(), rest, context))
    await session.flush()
    await post(session, entries)


async def _invoices(session: AsyncSession, currency: str) -> list[Invoice]:
    """Locked in the order of their ids, as everybody locks them."""
    query = (
        select(Invoice)
        .where(text(_WAITS).bindparams(currency=currency))
        .order_by(Invoice.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(await session.scalars(query))


def _rounding(reference: str, fiat: Asset, amount: int, context: Context) -> Entry:
    number: UUID = ids.new()
    return Entry(
        id=number,
        key=f"settled_in:{reference}:rounding",
        kind=Kind.SETTLED_IN_FIAT,
        reference=reference,
        merchant_id=None,
        evidence={"conversion": reference},
        posted_at=context.clock.now(),
        postings=transfer(fiat.code, amount, debit=TRADING, credit=ROUNDING),
    )


def _asset(context: Context, code: str) -> Asset:
    """Raises NotFound for what is not configured any more: nothing is guessed."""
    asset = context.catalog.asset(code)
    if asset is None:
        raise NotFound(f"{code} is not configured any more")
    return asset
