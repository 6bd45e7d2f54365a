"""What a payout's gas is quoted at, beside what a chain charged (contracts/gas-report.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.money import Asset
from core.networks import NATIVE, Token
from payments.payout_fees import ALONE, TOGETHER_FROM, gas_of

REPORT = Path(__file__).parents[3] / "contracts" / "gas-report.md"
TOKENS = {
    "ETH": Token(asset=Asset("ETH", 18, 6), address=NATIVE),
    "ERC-20": Token(asset=Asset("USDC", 6, 2), address="0x" + "11" * 20),
}


def measured(kind: str) -> dict[int, tuple[int, int]]:
    """Batch -> gas of each payment in it, and of a plain transfer. Another test holds the page to
    a new measurement."""
    pattern = rf"^\| {kind}: `send` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$"
    rows = re.findall(pattern, REPORT.read_text(), re.MULTILINE)
    found = [[int(cell.replace(",", "")) for cell in row] for row in rows]
    return {size: (gas, plain) for size, gas, plain in found}


@pytest.mark.parametrize("kind", TOKENS)
def test_many_leave_together_from_where_it_is_cheaper(kind: str) -> None:
    rows, least = measured(kind), TOGETHER_FROM[TOKENS[kind].is_native]
    assert {1, least - 1, least} <= set(rows)
    cheaper = {size for size, (gas, plain) in rows.items() if gas < plain}
    assert cheaper == {size for size in rows if size >= least}


@pytest.mark.parametrize("kind", TOKENS)
def test_the_quote_is_below_the_one_of_a_payout_alone_and_covers_the_gas(kind: str) -> None:
    token = TOKENS[kind]
    for size, (gas, _) in measured(kind).items():
        if size >= TOGETHER_FROM[token.is_native]:
            assert gas <= gas_of(token, size) < gas_of(token, 1) == ALONE[token.is_native]
