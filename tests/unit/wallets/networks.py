"""A network for tests that need no node."""

from __future__ import annotations

from typing import Any

from core.money import crypto
from core.networks import NATIVE, Network, Token


def network(**changes: Any) -> Network:
    settings: dict[str, Any] = {
        "id": "eip155:31337",
        "chain_id": 31337,
        "name": "test",
        "rpc_urls": (),
        "block_seconds": 12,
        "poll_ms": 1000,
        "tokens": (Token(asset=crypto("ETH", 18), address=NATIVE),),
    }
    return Network(**{**settings, **changes})
