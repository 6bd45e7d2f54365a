"""What a key may do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.errors import Invalid

EVERYTHING = "*"

# API 2 names them beside each resource.
SCOPES = (
    "invoices:read",
    "invoices:write",
    "deposits:read",
    "deposits:write",
    "wallets:read",
    "wallets:write",
    "transfers:write",
    "ledger:read",
    "quotes:read",
    "quotes:write",
    "treasury:read",
    "treasury:write",
    "payouts:read",
    "payouts:write",
    "webhooks:read",
    "webhooks:write",
    "events:read",
)
_KNOWN = frozenset({EVERYTHING, *SCOPES, *(f"{scope.partition(':')[0]}:*" for scope in SCOPES)})


def covers(held: Collection[str], wanted: str) -> bool:
    """Whether a key with the scopes `held` may do `wanted`: `a:b`, `a:*` or `*`."""
    return wanted in held or EVERYTHING in held or f"{wanted.partition(':')[0]}:*" in held


def check(scopes: Sequence[str]) -> list[str]:
    """The scopes, each once, sorted. Raises Invalid for an unknown one."""
    for index, scope in enumerate(scopes):
        if scope not in _KNOWN:
            raise Invalid.of(f"scopes.{index}", f"is not one of {', '.join(sorted(_KNOWN))}")
    return sorted(set(scopes))
