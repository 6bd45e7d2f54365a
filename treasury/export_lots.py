"""Lots and gains as CSV: quantities exact, values in the house currency to 10**-18."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from core.context import Context
from core.ids import show
from exchanges.numbers import show as show_value
from treasury import books
from treasury.export_csv import written
from treasury.export_period import PAGE, Period, instant
from treasury.gains import Disposal
from treasury.lots import Method
from treasury.worth import show_units

GAINS = (
    "seq", "entry", "at", "kind", "asset", "quantity", "sold", "cost", "unvalued", "proceeds",
    "gain", "currency", "method", "lot_entry", "lot_acquired_at", "lot_quantity", "lot_cost",
)  # fmt: skip
LOTS = (
    "asset", "lot_entry", "acquired_at", "quantity", "left", "cost", "currency", "method", "until",
)  # fmt: skip


async def gains(context: Context, method: Method, period: Period) -> AsyncIterator[bytes]:
    """A line for each lot that a disposal took from; what is said of the disposal stands in each.
    `gain` is empty unless it was a conversion and all of its values are known."""
    book = await books.as_of(context, method, period.through, period.until)
    yield written([GAINS])
    found = [one for one in book.disposals if period.first <= one.at]
    for start in range(0, len(found), PAGE):
        some = found[start : start + PAGE]
        yield written(row for one in some for row in _rows(context, method, one))


async def lots(context: Context, method: Method, period: Period) -> AsyncIterator[bytes]:
    """Open lots of every asset, the next to leave first."""
    book = await books.as_of(context, method, period.through, period.until)
    yield written([LOTS])
    for asset, pool in sorted(book.pools.items()):
        yield written(
            (
                asset,
                show("je", lot.entry) if lot.entry else "",
                instant(lot.at) if lot.at else "",
                show_units(context.catalog, asset, lot.quantity),
                show_units(context.catalog, asset, lot.left),
                _value(lot.cost),
                context.catalog.house_currency,
                method.value,
                instant(period.until),
            )
            for lot in pool.open()
        )


def _rows(context: Context, method: Method, one: Disposal) -> Iterable[Sequence[object]]:
    def units(quantity: int) -> str:
        return show_units(context.catalog, one.asset, quantity)

    for part in one.portions:
        yield (
            one.seq,
            show("je", one.entry),
            instant(one.at),
            one.kind,
            one.asset,
            units(one.quantity),
            "true" if one.sold else "false",
            _value(one.cost),
            units(one.unvalued),
            _value(one.proceeds),
            _value(one.gain),
            context.catalog.house_currency,
            method.value,
            show("je", part.entry) if part.entry else "",
            instant(part.at) if part.at else "",
            units(part.quantity),
            _value(part.cost),
        )


def _value(value: int | None) -> str:
    return "" if value is None else show_value(value)
