"""What an invoice's crypto becomes when it settles (MONEY 5, `settle_in`). Pure.

The terms are locked with the invoice's rates, so a change of the merchant's settings is for later
invoices. How much is exchanged is a function of the facts, computed anew at each judgement; the
books get the difference to what they have. So a fork is mirrored at the rate of the first time,
and whatever settles again is exchanged again, without anybody remembering how it came about.

The house takes the price risk, so nobody may choose the moment. Only what counted for the invoice
is exchanged: confirmed, in time, up to what was asked for. The rest stays crypto, to be spent:

- what was overpaid, every unit above what was asked for, refundable as it came;
- what came late, or lay in the inbox until a person credited it, or all of an invoice that a person
  marked: he knows by then which way the price has gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from core.money import Asset
from core.networks import Catalog
from ledger.accounts import Debt
from merchants.merchants import SettleIn
from payments.facts import Assessment, InvoiceFact, Pair
from payments.values import SCALE, floor, worth
from prices.book import PriceBook


@dataclass(frozen=True, slots=True)
class Setting:
    """A merchant's: `spread_percent` as it is written."""

    settle_in: str
    currency: str | None
    spread_percent: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What is exchanged: base units by asset, and what that is worth exactly, in base units of the
    invoice's currency at the locked rates."""

    units: Mapping[str, int]
    value: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An invoice's terms and what stands in the books by them.

    `rate`: fiat for one of the invoice's currency, times 10^18. `units` {asset: base units}: taken
    over (at quote) or set aside (at fill); of these `sold` were converted, for `fiat` {asset: minor
    units} (at fill). `gross` and `net` in minor units (at quote). `entries`: how many were made.
    """

    mode: SettleIn
    currency: str
    decimals: int
    spread_percent: str
    rate: int
    units: Mapping[str, int] = field(default_factory=dict)
    sold: Mapping[str, int] = field(default_factory=dict)
    fiat: Mapping[str, int] = field(default_factory=dict)
    gross: int = 0
    net: int = 0
    entries: int = 0

    @property
    def fiat_asset(self) -> Asset:
        """With the decimals that it had then."""
        return Asset(self.currency, self.decimals, self.decimals, is_fiat=True)

    def waiting(self) -> dict[str, int]:
        """{asset: base units} set aside and not converted yet."""
        if self.mode is not SettleIn.FIAT_AT_FILL:
            return {}
        left = {asset: units - self.sold.get(asset, 0) for asset, units in self.units.items()}
        return {asset: units for asset, units in left.items() if units}


def lock(
    setting: Setting, catalog: Catalog, currency: str, prices: PriceBook, now: datetime
) -> dict[str, Any] | None:
    """What a new invoice keeps; None for a merchant who takes crypto. Raises PriceUnavailable when
    nothing says what its currency is worth in his."""
    fiat = catalog.asset(setting.currency) if setting.currency else None
    if setting.settle_in == SettleIn.CRYPTO or fiat is None:
        return None
    return dump(
        Settlement(
            mode=SettleIn(setting.settle_in),
            currency=fiat.symbol,
            decimals=fiat.decimals,
            spread_percent=setting.spread_percent,
            rate=prices.rate(currency, fiat.symbol, now).price,
        )
    )


def taken(invoice: InvoiceFact, answer: Assessment) -> Taken:
    """How much of an invoice's money is exchanged, by what it was assessed to be.

    Deposits are taken in the order they were seen until the amount is reached. Of the one that
    reaches it no more than was asked for: the printed amount where all came in one asset on one
    network, else what is missing at its locked rate, rounded up to a base unit.
    """
    units: dict[str, int] = {}
    pairs: dict[Pair, int] = {}
    total = Fraction(0)
    if invoice.mark is not None or invoice.first_settled_at is None:
        return Taken(units, total)
    for deposit in invoice.deposits:
        verdict, rest = answer.verdicts[deposit.id], invoice.amount - total
        given = deposit.status == "confirmed" and verdict.account is Debt.AVAILABLE
        if not (given and verdict.counted and deposit.resolution is None and rest > 0):
            continue
        option = invoice.options[deposit.pair]
        alone = pairs.keys() <= {deposit.pair}
        one = worth(1, deposit.decimals, option.rate, invoice.currency_decimals)
        wanted = option.amount - pairs.get(deposit.pair, 0) if alone else -int(-rest // one)
        part = min(deposit.amount, wanted)
        pairs[deposit.pair] = pairs.get(deposit.pair, 0) + part
        units[deposit.pair[1]] = units.get(deposit.pair[1], 0) + part
        total += part * one
    return Taken(units, total)


def at_quote(terms: Settlement, what: Taken, currency_decimals: int) -> Settlement:
    """As it must stand in the books: summed exactly at the locked rates, the fiat rounded down to
    minor units, before and after the spread; what the merchant's rounding leaves is spread.

    What is worth less than one minor unit is not exchanged at all.
    """
    exact = what.value * terms.rate * 10**terms.decimals / (SCALE * 10**currency_decimals)
    gross = floor(exact)
    net = floor(exact * (100 - Fraction(terms.spread_percent)) / 100)
    if net == 0:
        return replace(terms, units={}, gross=0, net=0)
    return replace(terms, units=what.units, gross=gross, net=net)


def at_fill(terms: Settlement, what: Taken) -> tuple[Settlement, dict[str, tuple[int, int]]]:
    """As it must stand in the books, and {asset: (units, fiat)} of what was converted already and
    the chain took back: mirrored at its own average, all of it to the last minor unit."""
    sold, fiat, mirrored = dict(terms.sold), dict(terms.fiat), {}
    for asset, units in terms.sold.items():
        back = max(0, units - what.units.get(asset, 0))
        if back:
            had = terms.fiat.get(asset, 0)
            kept = had * (units - back) // units
            mirrored[asset] = back, had - kept
            sold[asset], fiat[asset] = units - back, kept
    return replace(terms, units=what.units, sold=sold, fiat=fiat), mirrored


def parse(stored: Mapping[str, Any]) -> Settlement:
    """An invoice's `settlement`."""
    amounts = {
        name: {asset: int(units) for asset, units in stored[name].items()}
        for name in ("units", "sold", "fiat")
    }
    return Settlement(
        mode=SettleIn(stored["mode"]),
        currency=stored["currency"],
        decimals=stored["decimals"],
        spread_percent=stored["spread_percent"],
        rate=int(stored["rate"]),
        gross=int(stored["gross"]),
        net=int(stored["net"]),
        entries=stored["entries"],
        **amounts,
    )


def dump(terms: Settlement) -> dict[str, Any]:
    """Amounts as text, for they exceed JSON's; `waits` says to an index that something is set
    aside and not converted."""
    amounts = {
        name: {asset: str(units) for asset, units in sorted(values.items()) if units}
        for name, values in (("units", terms.units), ("sold", terms.sold), ("fiat", terms.fiat))
    }
    return {
        "mode": terms.mode.value,
        "currency": terms.currency,
        "decimals": terms.decimals,
        "spread_percent": terms.spread_percent,
        "rate": str(terms.rate),
        **amounts,
        "gross": str(terms.gross),
        "net": str(terms.net),
        "entries": terms.entries,
        "waits": bool(terms.waiting()),
    }
