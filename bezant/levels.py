"""Amounts of bezant.toml, and how much of an asset stays in the hot wallets."""

from __future__ import annotations

from bezant.sections import NativeSection, TokenSection
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
