"""What a quote means to do: orders in steps, steps in paths (VENUES 1).

A path is one or two steps at one venue; the second step sells what the first one brought. Several
paths are a split. All quantities, prices, amounts and fees are integers of 10**-18, as venues
count (`exchanges.numbers`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from exchanges.types import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLeg:
    """One order of a plan. `path` counts from 0, `step` from 0 within its path.

    `quantity` is base; `limit_price`, on the market's tick, is the worst that may be paid;
    `expected_price` the books' average. `expected_in` is what it takes of `from_asset`,
    `expected_out` what it brings of `to_asset`, both with the fee; the fee is in `fee_asset`, which
    is `from_asset` or `to_asset`, as the venue takes it.
    """

    path: int
    step: int
    venue: str
    symbol: str
    side: Side
    quantity: int
    limit_price: int
    expected_price: int
    expected_in: int
    expected_out: int
    fee: int
    fee_asset: str
    from_asset: str
    to_asset: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`from_amount` is what all first steps take, `to_amount` what all last steps bring. Legs are
    ordered by path and step."""

    from_asset: str
    to_asset: str
    from_amount: int
    to_amount: int
    legs: tuple[PlannedLeg, ...]


_NAMES = tuple(field.name for field in fields(PlannedLeg))
_NUMBERS = ("quantity", "limit_price", "expected_price", "expected_in", "expected_out", "fee")


def dump(plan: Plan) -> dict[str, Any]:
    """As it is stored: JSON without big numbers, which readers of JSON round."""
    return {
        "from_asset": plan.from_asset,
        "to_asset": plan.to_asset,
        "from_amount": str(plan.from_amount),
        "to_amount": str(plan.to_amount),
        "legs": [_dump_leg(leg) for leg in plan.legs],
    }


def parse(stored: Any) -> Plan:
    """What `dump` stored."""
    return Plan(
        stored["from_asset"],
        stored["to_asset"],
        int(stored["from_amount"]),
        int(stored["to_amount"]),
        tuple(_parse_leg(leg) for leg in stored["legs"]),
    )


def _dump_leg(leg: PlannedLeg) -> dict[str, Any]:
    shown = {name: getattr(leg, name) for name in _NAMES}
    numbers = {name: str(shown[name]) for name in _NUMBERS}
    return shown | numbers | {"side": leg.side.value}


def _parse_leg(stored: dict[str, Any]) -> PlannedLeg:
    numbers = {name: int(stored[name]) for name in _NUMBERS}
    return PlannedLeg(**(stored | numbers | {"side": Side(stored["side"])}))
