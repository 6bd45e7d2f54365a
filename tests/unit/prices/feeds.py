"""A feed and its rounds, as the tests of prices write them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chain.oracle import RoundData
from core.networks import Feed

NOW = 1_795_000_000  # unix seconds
ETH = Feed(
    base="ETH",
    quote="USD",
    address="0x" + "fe" * 20,
    decimals=8,
    heartbeat_seconds=3600,
    grace_seconds=360,
    minimum=100 * 10**8,
    maximum=20_000 * 10**8,
    largest_jump_percent=20,
    description="ETH / USD",
)
ROUND = RoundData(
    feed=ETH.address,
    round_id=(1 << 64) + 100,
    answer=2500 * 10**8,
    started_at=NOW - 10,
    updated_at=NOW - 10,
    block_hash="0x" + "b1" * 32,
    block_number=1000,
)


def round_(**changes: Any) -> RoundData:
    """ROUND with changes; `id` counts from ROUND's."""
    if "id" in changes:
        changes["round_id"] = ROUND.round_id + changes.pop("id")
    return replace(ROUND, **changes)
