"""Gas by deposit: what a transaction cost, split over what it moved, to the wei. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts in proportion to the weights, whose sum is exactly `total`.

    By largest remainder (Hamilton); among equal remainders the earlier one gets it. Weights of
    zero throughout count as equal. Raises ValueError for nobody to share.
    """
    if not weights:
        raise ValueError("nobody to share with")
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts


def by_deposit(gas: int, deposits: Sequence[str]) -> dict[str, int]:
    """An address's share over its deposits, equally; nothing where no deposit is known."""
    if not deposits:
        return {}
    return dict(zip(deposits, shares(gas, [1] * len(deposits)), strict=True))
