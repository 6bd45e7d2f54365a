"""bezant.toml: what is structure (API 4), checked and turned into the catalog all parts share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bezant.bank_sections import accounts
from bezant.levels import hot_level, second_endpoint_above, units
from bezant.sections import (
    Configuration,
    ConfirmationSection,
    FeedSection,
    FeesSection,
    NetworkSection,
    RelaySection,
    SweepsSection,
    TokenSection,
    X402Section,
)
from core.errors import Misconfigured
from core.money import FIAT, Asset, crypto
from core.networks import (
    NATIVE,
    Catalog,
    Eip3009,
    Feed,
    FeePolicy,
    Network,
    RelayPolicy,
    SweepPolicy,
    Tier,
    Token,
    Traces,
    X402Policy,
)
from exchanges.types import Venue
from wallets.addresses import DEPOSIT_INIT_CODE_HASH as DEPOSIT_INIT_CODE_HASH
from wallets.addresses import checksum

GWEI = Asset("gwei", 9, 9)


def parse(document: Mapping[str, Any]) -> tuple[Configuration, Catalog]:
    """Raises Misconfigured: one sentence naming the key, the value and what is allowed."""
    try:
        configuration = Configuration.model_validate(document)
    except ValidationError as error:
        raise Misconfigured(_sentence(error)) from None
    return configuration, catalog(configuration)


def catalog(configuration: Configuration) -> Catalog:
    """Raises Misconfigured."""
    house = FIAT.get(configuration.house_currency)
    if house is None:
        raise Misconfigured(
            f"house_currency is {configuration.house_currency!r}: an ISO 4217 code is allowed"
        )
    networks = {
        id_: _network(id_, section, house) for id_, section in configuration.networks.items()
    }
    found = Catalog(networks, configuration.house_currency)
    _check_symbols(found)
    _check_factories(found)
    _check_venues(configuration)
    accounts(configuration.banks)  # refused at the start, not by the first statement
    return found


def _network(id_: str, section: NetworkSection, house: Asset) -> Network:
    place = f"networks.{id_}"
    native = section.native
    coin = crypto(native.symbol, native.decimals, native.quote_decimals)
    tokens = [
        Token(
            asset=coin,
            address=NATIVE,
            asset_id=f"{id_}/slip44:{native.slip44}",
            hot=hot_level(f"{place}.native", native, coin),
        )
    ]
    tokens += [_token(id_, token) for token in section.tokens]
    _once(f"{place}.tokens", "symbol", [t.asset.symbol for t in tokens])
    _once(f"{place}.tokens", "address", [t.address for t in tokens])
    _once(f"{place}.feeds", "pair", [f.pair for f in section.feeds])
    return Network(
        id=id_,
        chain_id=int(id_.removeprefix("eip155:")),
        name=section.name,
        rpc_urls=tuple(section.rpc_urls),
        public_rpc_url=section.public_rpc_url,
        push_url=section.push_url,
        block_seconds=section.block_seconds,
        poll_ms=section.poll_ms,
        traces=Traces(section.traces),
        tokens=tuple(tokens),
        feeds=tuple(_feed(f"{place}.feeds.{f.pair}", f) for f in section.feeds),
        sequencer_feed=_lower(section.sequencer_feed),
        sequencer_grace_seconds=section.sequencer_grace_seconds,
        factory=_lower(section.factory),
        deposit_init_code_hash=DEPOSIT_INIT_CODE_HASH,
        multicall=section.multicall.lower(),
        router=_lower(section.router),
        multisend=_lower(section.multisend),
        sanctions_oracle=_lower(section.sanctions_oracle),
        fees=_fees(f"{place}.fees", section.fees),
        sweeps=_sweeps(f"{place}.sweeps", section.sweeps, house),
        relay=_relay(f"{place}.relay", section.relay),
        x402=_x402(f"{place}.x402", section.x402, tokens[0].asset),
        tiers=_tiers(place, section.confirmations, house),
        second_endpoint_above=second_endpoint_above(place, section, house),
        stalled_after_seconds=section.stalled_after_seconds,
    )


def _token(network: str, section: TokenSection) -> Token:
    address, signs = section.address.lower(), section.eip3009
    asset = crypto(section.symbol, section.decimals, section.quote_decimals)
    return Token(
        asset=asset,
        address=address,
        fee_on_transfer=section.fee_on_transfer,
        eip3009=Eip3009(name=signs.name, version=signs.version) if signs else None,
        asset_id=f"{network}/erc20:{checksum(address)}",
        hot=hot_level(f"networks.{network}.tokens {section.symbol}", section, asset),
    )


def _fees(place: str, section: FeesSection) -> FeePolicy:
    max_fee = units(f"{place}.max_fee_gwei", GWEI, section.max_fee_gwei) or 0
    tip = units(f"{place}.max_priority_fee_gwei", GWEI, section.max_priority_fee_gwei) or 0
    if not 0 < tip <= max_fee:
        raise Misconfigured(
            f"{place}.max_priority_fee_gwei is {section.max_priority_fee_gwei!r}: more than zero"
            f" and at most max_fee_gwei ({section.max_fee_gwei}) is allowed"
        )
    return FeePolicy(
        max_fee=max_fee, max_priority_fee=tip, stuck_after_seconds=section.stuck_after_seconds
    )


def _sweeps(place: str, section: SweepsSection | None, house: Asset) -> SweepPolicy | None:
    if section is None:
        return None
    return SweepPolicy(
        every_seconds=section.every_seconds,
        minimum=units(f"{place}.minimum", house, section.minimum) or 0,
        max_gas_percent=section.max_gas_percent,
        cheap_percent=section.cheap_percent,
        max_age_seconds=section.max_age_hours * 3600,
        max_gas=section.max_gas,
    )


def _relay(place: str, section: RelaySection) -> RelayPolicy | None:
    if not section.enabled:
        return None
    return RelayPolicy(
        per_invoice=section.per_invoice,
        per_payer=section.per_payer,
        per_hour=section.per_hour,
        max_gas_percent=section.max_gas_percent,
        max_fee=units(f"{place}.max_fee_gwei", GWEI, section.max_fee_gwei) or 0,
    )


def _x402(place: str, section: X402Section, coin: Asset) -> X402Policy | None:
    if not section.enabled:
        return None
    return X402Policy(
        per_hour=section.per_hour,
        gas_per_hour=units(f"{place}.gas_per_hour", coin, section.gas_per_hour) or 0,
        max_gas_percent=section.max_gas_percent,
        max_fee=units(f"{place}.max_fee_gwei", GWEI, section.max_fee_gwei) or 0,
    )


def _feed(place: str, section: FeedSection) -> Feed:
    base, quote = section.pair.split("/")
    unit = Asset(section.pair, section.decimals, section.decimals)
    minimum = units(f"{place}.minimum", unit, section.minimum) or 0
    maximum = units(f"{place}.maximum", unit, section.maximum) or 0
    if minimum >= maximum:
        raise Misconfigured(
            f"{place}.maximum is {section.maximum!r}: more than the minimum"
            f" {section.minimum} is allowed"
        )
    grace = section.grace_seconds
    return Feed(
        base=base,
        quote=quote,
        address=section.address.lower(),
        decimals=section.decimals,
        heartbeat_seconds=section.heartbeat_seconds,
        # a heartbeat's round may land late: a tenth of it, at least five minutes
        grace_seconds=max(300, section.heartbeat_seconds // 10) if grace is None else grace,
        minimum=minimum,
        maximum=maximum,
        largest_jump_percent=section.largest_jump_percent,
        description=section.description or f"{base} / {quote}",
    )


def _tiers(place: str, sections: list[ConfirmationSection], house: Asset) -> tuple[Tier, ...]:
    """Ascending by sum, the last without a limit: what is above every limit is `finalized`."""
    tiers = [
        Tier(up_to=units(f"{place}.confirmations.up_to", house, s.up_to), required=s.required)
        for s in sections
    ]
    limits = [tier.up_to for tier in tiers if tier.up_to is not None]
    if limits != sorted(set(limits)) or any(tier.up_to is None for tier in tiers[:-1]):
        raise Misconfigured(
            f"{place}.confirmations.up_to is {[s.up_to for s in sections]}: growing sums are"
            " allowed, the last one may be left out"
        )
    if not tiers or tiers[-1].up_to is not None:
        tiers.append(Tier(up_to=None, required="finalized"))
    return tuple(tiers)


def _once(place: str, key: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise Misconfigured(f"{place}: {key} is {value!r} twice, each is allowed once")


def _check_symbols(found: Catalog) -> None:
    """One symbol has one meaning on every network; a fiat code is never a token."""
    meaning: dict[str, tuple[str, Asset]] = {}
    for network, token in found.pairs():
        asset = token.asset
        first, known = meaning.setdefault(asset.symbol, (network.id, asset))
        if known != asset:
            raise Misconfigured(
                f"networks.{network.id}: {asset.symbol} has {asset.decimals} decimals (quoted with"
                f" {asset.quote_decimals}), the same as on {first} is allowed: {known.decimals}"
                f" and {known.quote_decimals}"
            )
        if asset.symbol in FIAT:
            raise Misconfigured(
                f"networks.{network.id}: symbol is {asset.symbol!r}, a fiat currency's code: any"
                " other symbol is allowed"
            )


def _check_factories(found: Catalog) -> None:
    """An invoice has one address on all its networks: another factory could never empty it."""
    made = [n for n in found.networks.values() if n.factory is not None]
    for network in made:
        if network.factory != made[0].factory:
            raise Misconfigured(
                f"networks.{network.id}.factory is {network.factory!r}: the same as on"
                f" {made[0].id} is allowed: {made[0].factory}"
            )


def _check_venues(configuration: Configuration) -> None:
    """A venue can only be told of networks that we follow."""
    known = configuration.networks
    for venue in Venue:
        section = getattr(configuration.exchanges, venue)
        for id_, word in section.networks.items() if section else ():
            if id_ not in known:
                raise Misconfigured(
                    f"exchanges.{venue}.networks.{id_} is {word!r}: only networks of this file are"
                    f" allowed: {', '.join(known)}"
                )


def _lower(address: str | None) -> str | None:
    return address.lower() if address else None


def _sentence(error: ValidationError) -> str:
    """pydantic's first complaint as one sentence."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "missing":
        return f"{key} is missing: it must be given"
    if first["type"] == "extra_forbidden":
        return f"{key} is {first['input']!r}: no such key is known"
    message = re.sub(r"^(Input should|String should|Value error,) ", "", first["msg"])
    return f"{key} is {first['input']!r}: it should {message}"
