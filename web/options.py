"""The ways to pay an invoice: asset, network, exact amount, QR code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from core.networks import Catalog
from web import qr, texts
from web.stages import units

SIGNIFICANT = 6  # digits of a rate that are shown

_NOT_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One asset on one network. `amount` is what is due, as it is to be typed into a wallet."""

    slug: str  # stable across updates: the choice outlives them
    asset: str
    network: str  # its name, for people
    amount: str
    address: str
    address_groups: tuple[str, ...]
    uri: str  # EIP-681
    uri_qr: str
    rate: str | None
    rate_source: str | None
    wallet: WalletWay | None  # through our router, where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletWay:
    """What a browser's wallet must know to pay through our router (EIP-1193, EIP-3085)."""

    network: str  # CAIP-2
    chain_id: str  # 0x hex
    coin: str  # of the network: what gas costs
    coin_decimals: int
    rpc_url: str | None  # for a wallet that does not know the network


def options_of(invoice: Mapping[str, Any], catalog: Catalog) -> tuple[Option, ...]:
    """All options with something due, in the invoice's own order."""
    return tuple(
        _option(option, invoice["currency"], catalog)
        for option in invoice["payment_options"]
        if units(option["amount_due"])
    )


def network_name(network: str, catalog: Catalog) -> str:
    """The configured name, or the CAIP-2 id of a network that was taken out since."""
    known = catalog.networks.get(network)
    return known.name if known else network


def typed(amount: str) -> str:
    """An amount as a person types it: no grouping, no zeros that say nothing, exact."""
    whole, _, fraction = amount.partition(".")
    fraction = fraction.rstrip("0")
    places = min(2, len(amount.partition(".")[2]))
    fraction = fraction.ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def groups(address: str) -> tuple[str, ...]:
    """Ten groups of four, the first with its `0x`: what an eye can compare."""
    return address[:6], *(address[i : i + 4] for i in range(6, len(address), 4))


def _option(option: Mapping[str, Any], currency: str, catalog: Catalog) -> Option:
    asset, address = option["asset"], option["address"]
    network = network_name(option["network"], catalog)
    amount = typed(option["amount_due"])
    alt = texts.PAGE["qr_full_alt"].format(
        amount=amount, asset=asset, network=network, address=address
    )
    rate = _legible(option["rate"]) if asset != currency else None
    return Option(
        slug=_NOT_NAME.sub("-", f"{asset}-{option['network']}".lower()),
        asset=asset,
        network=network,
        amount=amount,
        address=address,
        address_groups=groups(address),
        uri=option["uri"],  # asks for what is due
        uri_qr=qr.svg(option["uri"], alt),
        rate=rate and texts.PAGE["rate"].format(asset=asset, rate=rate, currency=currency),
        rate_source=_source(option.get("price")) if rate else None,
        wallet=_wallet(option["network"], asset, catalog),
    )


def _wallet(network_id: str, asset: str, catalog: Catalog) -> WalletWay | None:
    network = catalog.networks.get(network_id)
    token = network.token(asset) if network else None
    if network is None or network.router is None or token is None or token.fee_on_transfer:
        return None
    return WalletWay(
        network=network.id,
        chain_id=hex(network.chain_id),
        coin=network.tokens[0].asset.symbol,
        coin_decimals=network.tokens[0].asset.decimals,
        rpc_url=network.public_rpc_url,
    )


def _legible(rate: str) -> str:
    """`= 2,500.00`, or `≈ 2,272.73` where the eye gets six digits (rounded half up) of more; what
    is owed comes from the whole rate."""
    exact = Decimal(rate)
    places = max(2, SIGNIFICANT - 1 - exact.adjusted())
    shown = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    whole, dot, fraction = typed(f"{shown:f}").partition(".")
    return f"{'=' if shown == exact else '≈'} {int(whole):,}{dot}{fraction}"


def _source(price: Mapping[str, Any] | None) -> str:
    """Where the rate came from and how old it was when the invoice was made."""
    if not price or "source" not in price:
        return texts.PAGE["rate_locked"]
    source = texts.SOURCES.get(price["source"], price["source"])
    return texts.PAGE["rate_source"].format(source=source, age=price.get("age_seconds", 0))
