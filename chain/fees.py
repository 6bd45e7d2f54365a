"""What to offer for gas (EIP-1559), from `eth_feeHistory`. Integers only: wei per unit of gas.

A block's base fee changes by at most an eighth, so an offer of twice the base fee still holds
after five full blocks in a row (1.125^5 = 1.8). Only what a block asks is paid, never the offer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_low

from core.errors import ChainError
from core.networks import FeePolicy

BLOCKS = 20  # of history
# Pools want both fees raised: geth by 10 % (`--txpool.pricebump`), OpenEthereum by 12.5 %.
BUMP_NUMERATOR, BUMP_DENOMINATOR = 9, 8
FLOOR = 10**6  # the least tip: what geth asks for as a block's builder unless told otherwise


class Urgency(StrEnum):
    """How soon it should be mined."""

    SLOW = "slow"
    """Whenever it is cheap: sweeps."""
    NORMAL = "normal"
    """Within a few blocks."""
    FAST = "fast"
    """In the next block, and to stay there when base fees rise."""


# The tip that this share of the gas in a block was content with, and what the base fee may grow to
# before the offer is too low, both in percent.
PERCENTILES = {Urgency.SLOW: 10, Urgency.NORMAL: 50, Urgency.FAST: 90}
HEADROOM = {Urgency.SLOW: 125, Urgency.NORMAL: 200, Urgency.FAST: 300}


class FeesTooHigh(ChainError):
    """The next block asks for more than the caps allow: nothing is offered now.

    `base_fee` is what it asks, `limit` what may be offered, in wei per gas.
    """

    def __init__(self, base_fee: int, limit: int) -> None:
        super().__init__(f"the base fee is {base_fee} wei, at most {limit} may be offered")
        self.base_fee = base_fee
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Fees:
    """An offer. `priority_fee` is never above `max_fee`."""

    max_fee: int
    priority_fee: int

    def tip(self, base_fee: int) -> int:
        """What a miner would get from it at this base fee; negative: it cannot be mined."""
        return min(self.priority_fee, self.max_fee - base_fee)


@dataclass(frozen=True, slots=True)
class Market:
    """The next block's base fee (0 on chains without one), and recent tips by urgency."""

    base_fee: int
    tips: Mapping[Urgency, int]

    def outbids(self, fees: Fees, urgency: Urgency) -> bool:
        """Whether others offer more than these fees by now."""
        return fees.tip(self.base_fee) < self.tips[urgency]


def read_market(
    base_fees: Sequence[int], used: Sequence[bool], rewards: Sequence[Sequence[int]]
) -> Market:
    """From the fields of `eth_feeHistory`, asked with PERCENTILES in their order.

    base_fees: of each block and, last, of the next one. used: whether a block held transactions;
    an empty one shows a tip of 0 that nobody paid. The tip is the median over the used blocks.
    """
    tips = {}
    for i, urgency in enumerate(PERCENTILES):
        paid = [row[i] for row, any_ in zip(rewards, used, strict=False) if any_ and len(row) > i]
        tips[urgency] = median_low(paid) if paid else 0
    return Market(base_fees[-1], tips)


def ceiling(policy: FeePolicy, gas: int, fee_cap: int | None) -> int:
    """The most that may be offered per gas: the network's cap, and the transaction's own in wei."""
    return policy.max_fee if fee_cap is None else min(policy.max_fee, fee_cap // gas)


def offer(
    market: Market, policy: FeePolicy, urgency: Urgency, *, gas: int, fee_cap: int | None = None
) -> Fees:
    """What to offer now. fee_cap: wei for the whole transaction. Raises FeesTooHigh."""
    limit = ceiling(policy, gas, fee_cap)
    tip = min(max(market.tips[urgency], FLOOR), policy.max_priority_fee)
    if market.base_fee > limit:
        raise FeesTooHigh(market.base_fee, limit)
    max_fee = min(-(-market.base_fee * HEADROOM[urgency] // 100) + tip, limit)
    return Fees(max_fee, min(tip, max_fee))


def bump(
    last: Fees,
    market: Market,
    policy: FeePolicy,
    urgency: Urgency,
    *,
    gas: int,
    fee_cap: int | None = None,
) -> Fees | None:
    """What replaces `last` in every pool, both fees at least an eighth higher and at least what
    the market wants; None when the caps do not allow it."""
    least = Fees(_raised(last.max_fee), _raised(last.priority_fee))
    limit = ceiling(policy, gas, fee_cap)
    if least.max_fee > limit or least.priority_fee > policy.max_priority_fee:
        return None
    try:
        wanted = offer(market, policy, urgency, gas=gas, fee_cap=fee_cap)
    except FeesTooHigh:
        return None
    max_fee = max(least.max_fee, wanted.max_fee)
    return Fees(max_fee, min(max_fee, max(least.priority_fee, wanted.priority_fee)))


def _raised(fee: int) -> int:
    return max(fee + 1, -(-fee * BUMP_NUMERATOR // BUMP_DENOMINATOR))
