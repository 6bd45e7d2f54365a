"""The ledger's accounts and assets under names that Beancount takes. Pure.

A name that cannot be told apart from another after the change gets a part of its hash, so that two
accounts never become one and the same account always has the same name.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from ledger.accounts import EQUITY, ROUNDING, SUSPENSE, TRADING, UNITS

# Beancount's own rule for a component; ours start small and have no capitals.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9-]*")
_TYPE_ID = re.compile(r"[a-z]{1,8}_[0-9a-z]{26}")
_COMMODITY = re.compile(r"[A-Z]([A-Z0-9'._-]{0,22}[A-Z0-9])?")
_LONGEST = 24

_HOUSE = {
    EQUITY: "Equity:Owner",
    TRADING: "Equity:Trading",
    ROUNDING: "Equity:Rounding",
    UNITS: "Equity:Units",
    SUSPENSE: "Liabilities:Suspense",
}
_ROOTS = {
    "network": "Assets:Network",
    "exchange": "Assets:Exchange",
    "bank": "Assets:Bank",
    "transit": "Assets:Transit",
    "merchant": "Liabilities:Merchant",
    "wallet": "Liabilities:Wallet",
    "income": "Income",
    "expense": "Expenses",
}


@lru_cache(maxsize=100_000)
def account(name: str) -> str:
    """`network:eip155:1:hot` -> `Assets:Network:Eip155-1:Hot`, `exchange:binance` ->
    `Assets:Exchange:Binance`, `merchant:mer_01h..:available` ->
    `Liabilities:Merchant:MER-01H..:Available`."""
    if name in _HOUSE:
        return _HOUSE[name]
    kind, _, rest = name.partition(":")
    if kind == "network":
        network, _, role = rest.rpartition(":")
        parts = [network, role]
    elif kind in ("merchant", "wallet"):
        parts = list(rest.partition(":")[::2])
    else:
        parts = [rest]
    root = _ROOTS.get(kind)
    if root is None or not all(parts):
        return f"Equity:Other:{_component(name)}"
    return ":".join([root, *map(_component, parts)])


@lru_cache(maxsize=10_000)
def commodity(symbol: str) -> str:
    """A symbol as it is where Beancount takes it (ETH), else in capitals with a part of its hash
    (stETH -> STETH-5F1C3A)."""
    if _COMMODITY.fullmatch(symbol):
        return symbol
    plain = re.sub(r"[^A-Z0-9]", "-", symbol.upper()).strip("-")[: _LONGEST - 8]
    return f"C{plain}-{_mark(symbol)}" if not plain[:1].isalpha() else f"{plain}-{_mark(symbol)}"


def text(value: str) -> str:
    """A Beancount string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\r\n]+", " ", escaped) + '"'


def _component(part: str) -> str:
    if _TYPE_ID.fullmatch(part):
        return part.replace("_", "-").upper()
    if _PLAIN.fullmatch(part):
        return part.capitalize()
    network = re.fullmatch(r"([a-z0-9]{3,8}):([0-9]+)", part)  # CAIP-2 as EVM networks have it
    if network:
        return f"{network[1].capitalize()}-{network[2]}"
    plain = re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").capitalize() or "X"
    return f"{plain}-{_mark(part)}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:6].upper()
