"""The ways to pay an invoice, each with its rate locked and its amount rounded up (MONEY 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import Invalid, PriceUnavailable
from core.money import LARGEST, Asset
from core.networks import Catalog, Network, Token
from payments.values import owed
from prices.book import PriceBook


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the request and the merchant allow; None means everything configured."""

    assets: Sequence[str] | None
    networks: Sequence[str] | None
    accepts: Sequence[Sequence[str]] | None  # [[network, asset], ...]


def offered(catalog: Catalog, wanted: Wanted) -> list[tuple[Network, Token]]:
    """The pairs an invoice may offer. Raises Invalid naming the field and what is allowed."""
    allowed = list(_accepted(catalog, wanted))
    symbols = sorted({token.asset.symbol for _, token in allowed})
    networks = sorted({network.id for network, _ in allowed})
    for name, given, known in (
        ("assets", wanted.assets, symbols),
        ("networks", wanted.networks, networks),
    ):
        for index, item in enumerate(given or ()):
            if item not in known:
                raise Invalid.of(f"{name}.{index}", f"{item!r} is none of {', '.join(known)}")
    pairs = [
        (network, token)
        for network, token in allowed
        if (wanted.assets is None or token.asset.symbol in wanted.assets)
        and (wanted.networks is None or network.id in wanted.networks)
    ]
    if not pairs:
        raise Invalid.of("assets", "none of these assets is on any of these networks")
    return pairs


def _accepted(catalog: Catalog, wanted: Wanted) -> Iterator[tuple[Network, Token]]:
    for network, token in catalog.pairs():
        pair = [network.id, token.asset.symbol]
        if network.factory is None:
            continue  # without our factory there is no address to pay to
        if wanted.accepts is None or pair in [list(p) for p in wanted.accepts]:
            yield network, token


def due_of(option: Mapping[str, Any], amount: int, paid: int, currency: Asset) -> int:
    """Base units of a stored option's asset that are still to be paid of `amount` (both in the
    currency's base units): at the locked rate, rounded up like the whole."""
    whole = int(option["amount"])
    if paid <= 0:
        return whole
    asset = Asset(option["asset"], option["decimals"], option["quote_decimals"])
    return min(whole, owed(max(0, amount - paid), currency, asset, int(option["rate"])))


def lock_rates(
    pairs: Sequence[tuple[Network, Token]],
    amount: int,
    currency: Asset,
    book: PriceBook,
    now: datetime,
) -> list[dict[str, Any]]:
    """The options as the invoice keeps them; amounts and rates as text, for they exceed JSON's.

    An asset without an acceptable price is not offered. Raises PriceUnavailable when none has
    one, Invalid when the amount is too large for an asset to express.
    """
    locked: dict[Asset, dict[str, Any]] = {}
    refusal: PriceUnavailable | None = None
    for asset in dict.fromkeys(token.asset for _, token in pairs):
        try:
            locked[asset] = _lock(asset, amount, currency, book, now)
        except PriceUnavailable as error:
            refusal = error
    if not locked and refusal is not None:
        raise refusal
    return [
        {
            "network": network.id,
            "asset_id": token.asset_id,
            "token": token.address,
            **locked[token.asset],
        }
        for network, token in pairs
        if token.asset in locked
    ]


def _lock(
    asset: Asset, amount: int, currency: Asset, book: PriceBook, now: datetime
) -> dict[str, Any]:
    """What an asset's options have in common on every network."""
    rate = book.rate(asset.symbol, currency.symbol, now)
    units = owed(amount, currency, asset, rate.price)
    if units > LARGEST:
        raise Invalid.of("amount", f"too large to be paid in {asset.symbol}")
    return {
        "asset": asset.symbol,
        "decimals": asset.decimals,
        "quote_decimals": asset.quote_decimals,
        "amount": str(units),
        "rate": str(rate.price),
        "price": rate.evidence,
    }
