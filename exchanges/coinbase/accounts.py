"""The account's wallets: one per asset and portfolio, each with what is free and what is held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchanges.coinbase import reading
from exchanges.coinbase.rest import Rest
from exchanges.types import Balance

ACCOUNTS = "/api/v3/brokerage/accounts"
CRYPTO, FIAT = "CRYPTO", "FIAT"
_PAGE = 250


async def balances(rest: Rest) -> dict[str, Balance]:
    """By asset, over all wallets; empty ones are there with zero."""
    found: dict[str, Balance] = {}
    async for entry in rest.pages(ACCOUNTS, "accounts", {"limit": _PAGE}):
        asset, balance = read(entry)
        so_far = found.get(asset, Balance(0, 0))
        found[asset] = Balance(so_far.free + balance.free, so_far.locked + balance.locked)
    return found


async def wallets(rest: Rest, kind: str = CRYPTO) -> dict[str, str]:
    """The wallet's id by asset of that kind, for transfers; the default one of several."""
    found: dict[str, str] = {}
    async for entry in rest.pages(ACCOUNTS, "accounts", {"limit": _PAGE}):
        if reading.words(entry, "type").removeprefix("ACCOUNT_TYPE_") == kind:
            asset = reading.text(entry, "currency")
            if asset not in found or entry.get("default") is True:
                found[asset] = reading.text(entry, "uuid")
    return found


def read(entry: Mapping[str, Any]) -> tuple[str, Balance]:
    free = reading.amount(reading.inner(entry, "available_balance"), "value")
    hold = entry.get("hold")
    locked = reading.amount(hold, "value") if isinstance(hold, dict) else 0
    return reading.text(entry, "currency"), Balance(free, locked)
