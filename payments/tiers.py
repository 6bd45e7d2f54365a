"""How many confirmations a sum needs, and whether it has them (MONEY 2). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.networks import Network


@dataclass(frozen=True, slots=True)
class Heights:
    """How far a network's chain is known: the cursor, and its safe and finalized blocks."""

    cursor: int
    safe: int | None
    finalized: int | None


def required(network: Network, house_value: int | None) -> str:
    """The policy for an unconfirmed sum in minor units of the house currency.

    Without a fresh price nobody knows the sum, so the strictest tier holds: the last one.
    """
    for tier in network.tiers:
        if tier.up_to is None or (house_value is not None and house_value <= tier.up_to):
            return str(tier.required)
    return str(network.tiers[-1].required)


def confirmations(block_number: int, heights: Heights) -> int:
    """The block itself counts as the first."""
    return max(0, heights.cursor - block_number + 1)


def reached(policy: str, block_number: int, heights: Heights) -> bool:
    """Whether a block is deep enough: a number of confirmations, `safe` or `finalized`."""
    if policy == "safe":
        return heights.safe is not None and heights.safe >= block_number
    if policy == "finalized":
        return heights.finalized is not None and heights.finalized >= block_number
    return confirmations(block_number, heights) >= int(policy)


def waits_for(
    network: Network,
    policy: str,
    unconfirmed: int | None,
    block_number: int,
    heights: Heights,
    *,
    witnessed: bool,
    screened: bool = True,
) -> str | None:
    """What a pending deposit waits for; None when it is confirmed. `unconfirmed` is the sum of
    its invoice's pending deposits in the house currency, None without a fresh price.

    `witnessed`: two endpoints show the movement itself. The same hash would not do: it does not
    prove what one endpoint alone tells of a call or a log. `screened`: screening has said its word,
    whichever it is, or was never asked.
    """
    if not reached(policy, block_number, heights):
        return "confirmations"
    limit = network.second_endpoint_above
    large = limit is not None and (unconfirmed is None or unconfirmed > limit)
    if large and not witnessed:
        return "second_endpoint"
    return None if screened else "screening"
