"""The entries by which a merchant's crypto becomes his fiat (MONEY 5). Pure.

What the house and a merchant exchange goes through `trading`, which counts as venues do, so that
it meets the fills there: `units` crosses to what a chain or a mint counts.

    at quote    available(crypto) -> trading, trading -> available(fiat) and income:spread
    at fill     available(crypto) -> reserved(crypto), and when it is converted
                reserved(crypto) -> trading, trading -> available(fiat)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from core import ids
from core.money import Asset
from ledger.accounts import SPREAD, TRADING, Debt, merchant
from ledger.journal import Entry, Kind, Posting, transfer
from ledger.units import cross
from merchants.merchants import SettleIn
from payments import settle_in
from payments.facts import Assessment, InvoiceFact, OptionFact, Pair
from payments.settle_in import Settlement
from payments.tables import Invoice

Lines = list[Posting]


def follow(invoice: Invoice, fact: InvoiceFact, answer: Assessment, now: datetime) -> list[Entry]:
    """What brings the books to where the facts are; writes the answer into the invoice's row.

    The row's `settlement` is replaced, never changed in place: the row is saved when it differs.
    """
    if invoice.settlement is None:
        return []
    terms = settle_in.parse(invoice.settlement)
    what = settle_in.taken(fact, answer)
    assets = assets_of(fact.options)
    if terms.mode is SettleIn.FIAT_AT_QUOTE:
        wanted = settle_in.at_quote(terms, what, fact.currency_decimals)
        lines = _at_quote(invoice.merchant_id, assets, terms, wanted)
    else:
        wanted, mirrored = settle_in.at_fill(terms, what)
        lines = _at_fill(invoice.merchant_id, assets, terms, wanted, mirrored)
    return write(invoice, wanted, lines, {}, now)


def write(
    invoice: Invoice, wanted: Settlement, lines: Iterable[Posting], evidence: Any, now: datetime
) -> list[Entry]:
    """The entry of these lines, none when they come to nothing; the row says what stands now."""
    postings = _joined(lines)
    if not postings:
        return []
    number = ids.show("inv", invoice.id)
    made = replace(wanted, entries=wanted.entries + 1)
    invoice.settlement = settle_in.dump(made)
    entry = Entry(
        id=ids.new(),
        key=f"settled_in:{number}:{made.entries}",
        kind=Kind.SETTLED_IN_FIAT,
        reference=number,
        merchant_id=invoice.merchant_id,
        evidence={"settle_in": made.mode.value, "currency": made.currency, **evidence},
        posted_at=now,
        postings=postings,
    )
    return [entry]


def standing(invoice: Invoice, options: Mapping[Pair, OptionFact]) -> dict[tuple[str, str], int]:
    """What all entries of an invoice's settlement come to by its row: debit positive, by account
    and asset, no zeros."""
    if invoice.settlement is None:
        return {}
    terms, assets = settle_in.parse(invoice.settlement), assets_of(options)
    nothing = replace(terms, units={}, gross=0, net=0)
    if terms.mode is SettleIn.FIAT_AT_QUOTE:
        lines = _at_quote(invoice.merchant_id, assets, nothing, terms)
    else:
        sold = {a: (-units, -terms.fiat.get(a, 0)) for a, units in terms.sold.items()}
        lines = _at_fill(invoice.merchant_id, assets, nothing, terms, sold)
    return {(line.account, line.asset): line.amount for line in _joined(lines)}


def converted(merchant_id: UUID, asset: Asset, units: int, fiat: Asset, amount: int) -> Lines:
    """What was set aside was converted: `units` of the asset for `amount` of the fiat, both in
    their own base units."""
    reserved, available = _debts(merchant_id)
    return [
        *cross(asset, -units, debit=TRADING, credit=reserved),
        *cross(fiat, amount, debit=TRADING, credit=available),
    ]


def _at_quote(
    merchant_id: UUID, assets: Mapping[str, Asset], before: Settlement, after: Settlement
) -> Lines:
    _, available = _debts(merchant_id)
    lines: Lines = []
    for asset, units in _changes(before.units, after.units).items():
        lines += cross(assets[asset], -units, debit=TRADING, credit=available)
    gross = after.gross - before.gross
    spread = gross - (after.net - before.net)
    lines += cross(after.fiat_asset, gross, debit=TRADING, credit=available)
    lines += transfer(after.currency, spread, debit=available, credit=SPREAD)
    return lines


def _at_fill(
    merchant_id: UUID,
    assets: Mapping[str, Asset],
    before: Settlement,
    after: Settlement,
    mirrored: Mapping[str, tuple[int, int]],
) -> Lines:
    """Set aside, or given back: first what was not converted yet."""
    reserved, available = _debts(merchant_id)
    lines: Lines = []
    for asset, units in _changes(before.units, after.units).items():
        lines += transfer(asset, units, debit=available, credit=reserved)
    for asset, (units, amount) in mirrored.items():
        lines += converted(merchant_id, assets[asset], -units, after.fiat_asset, -amount)
    return lines


def _changes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    assets = sorted(before.keys() | after.keys())
    return {asset: after.get(asset, 0) - before.get(asset, 0) for asset in assets}


def assets_of(options: Mapping[Pair, OptionFact]) -> dict[str, Asset]:
    """By the decimals that their rates were locked with."""
    return {
        symbol: Asset(symbol, option.decimals, option.quote_decimals)
        for (_, symbol), option in options.items()
    }


def _debts(merchant_id: UUID) -> tuple[str, str]:
    return merchant(merchant_id, Debt.RESERVED), merchant(merchant_id, Debt.AVAILABLE)


def _joined(lines: Iterable[Posting]) -> tuple[Posting, ...]:
    """One posting for an account and asset, none of zero."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        sums[line.account, line.asset] += line.amount
    return tuple(Posting(*where, amount) for where, amount in sums.items() if amount)
