"""Amounts of bezant.toml: sums, how much of an asset stays in the hot wallets, and from where on
one node's word is too little."""

from __future__ import annotations

from bezant.sections import NativeSection, NetworkSection, TokenSection
from core.errors import InvalidAmount, Misconfigured
from core.money import Asset
from core.networks import HotLevel


def units(place: str, asset: Asset, text: str | None) -> int | None:
    """Major units -> base units. Raises Misconfigured naming the place."""
    if text is None:
        return None
    try:
        return asset.parse(text)
    except InvalidAmount as error:
        raise Misconfigured(f"{place} is {text!r}: {error.detail}") from None


def second_endpoint_above(place: str, section: NetworkSection, house: Asset) -> int | None:
    """Minor units of the house currency. Raises Misconfigured where no second node is named: larger
    payments would wait for it for ever."""
    above = units(f"{place}.second_endpoint_above", house, section.second_endpoint_above)
    if above is not None and len({_apart(url) for url in section.rpc_urls}) < 2:
        raise Misconfigured(
            f"{place}.second_endpoint_above is {section.second_endpoint_above!r}: it is allowed"
            f" with two different nodes or more in rpc_urls, and {len(section.rpc_urls)} given"
            " there come to one"
        )
    return above


def _apart(url: str) -> str:
    """What tells two nodes apart: not their users, a slash at the end, or a port left out."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    host = host.rpartition("@")[2].lower().removesuffix(":80" if scheme == "http" else ":443")
    return f"{scheme}://{host}/{path.rstrip('/')}"


def hot_level(place: str, section: TokenSection | NativeSection, asset: Asset) -> HotLevel | None:
    """None: neither is set. Raises Misconfigured."""
    target = units(f"{place}.hot_target", asset, section.hot_target)
    most = units(f"{place}.hot_max", asset, section.hot_max)
    if target is None and most is None:
        return None
    if most is not None and most < (target or 0):
        raise Misconfigured(
            f"{place}.hot_max is {section.hot_max!r}: at least hot_target ({section.hot_target})"
            " is allowed"
        )
    return HotLevel(target=target or 0, most=most)
