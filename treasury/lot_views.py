"""Lots and disposals as operators see them: quantities in major units, values in the house
currency, shown to its minor units, rounded half to even. The exact units are in the exports."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any

from core.clock import show as show_time
from core.context import Context
from core.ids import show
from core.networks import Catalog
from exchanges.numbers import ONE
from treasury import books
from treasury.gains import Disposal
from treasury.lots import Lot, Method
from treasury.worth import show_units

PORTIONS = 100  # shown of one disposal


async def open_lots(context: Context, asset: str, method: Method) -> list[Lot]:
    """Newest first."""
    pool = (await books.current(context)).by_method[method].pools.get(asset)
    found = list(pool.open()) if pool else []
    return sorted(found, key=lambda lot: lot.entry.int if lot.entry else 0, reverse=True)


async def disposals(
    context: Context,
    asset: str,
    method: Method,
    since: datetime | None,
    until: datetime | None,
) -> list[Disposal]:
    """Of one asset, since <= time < until, newest first by their entries' ids."""
    book = (await books.current(context)).by_method[method]
    found = [
        one
        for one in book.disposals
        if one.asset == asset
        and (since is None or since <= one.at)
        and (until is None or one.at < until)
    ]
    return sorted(found, key=lambda one: one.entry.int, reverse=True)


def lot_json(context: Context, asset: str, lot: Lot) -> dict[str, Any]:
    catalog = context.catalog
    return {
        "id": show("je", lot.entry) if lot.entry else asset,
        "object": "lot",
        "created_at": show_time(lot.at) if lot.at else None,
        "asset": asset,
        "quantity": show_units(catalog, asset, lot.quantity),
        "left": show_units(catalog, asset, lot.left),
        "cost": _value(catalog, lot.cost),
        "currency": catalog.house_currency,
    }


def disposal_json(context: Context, one: Disposal) -> dict[str, Any]:
    catalog = context.catalog
    return {
        "id": show("je", one.entry),
        "object": "disposal",
        "created_at": show_time(one.at),
        "kind": one.kind,
        "asset": one.asset,
        "quantity": show_units(catalog, one.asset, one.quantity),
        "sold": one.sold,
        "cost": _value(catalog, one.cost),
        "unvalued": show_units(catalog, one.asset, one.unvalued),
        "proceeds": _value(catalog, one.proceeds),
        "gain": _value(catalog, one.gain),
        "currency": catalog.house_currency,
        "portions": [
            {
                "entry": show("je", part.entry) if part.entry else None,
                "acquired_at": show_time(part.at) if part.at else None,
                "quantity": show_units(catalog, one.asset, part.quantity),
                "cost": _value(catalog, part.cost),
            }
            for part in one.portions[:PORTIONS]
        ],
        "portions_left_out": max(0, len(one.portions) - PORTIONS),
    }


def _value(catalog: Catalog, value: int | None) -> str | None:
    """Units of 10**-18 of the house currency."""
    currency = catalog.asset(catalog.house_currency)
    if value is None or currency is None:
        return None
    return currency.format(round(Fraction(value * 10**currency.decimals, ONE)))
