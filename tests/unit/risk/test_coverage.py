"""Warnings about a policy: by example, and against every cell tried one by one."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import assume, given, settings

from risk import coverage
from risk.document import parse
from risk.rules import Rule
from tests.unit.risk.documents import documents
from tests.unit.risk.world import CATALOG


def rules(*given_: dict[str, Any]) -> tuple[Rule, ...]:
    named = [{"name": f"rule {n}", "effect": "block"} | rule for n, rule in enumerate(given_)]
    for rule in named:
        if rule["effect"] == "approve":
            rule.setdefault("approvals", {"needed": 1})
    return parse({"default": {"effect": "allow"}, "rules": named}, CATALOG).rules


def usd(above: str | None = None, up_to: str | None = None, **window: Any) -> dict[str, Any]:
    return {"amount": {"asset": "USD", "above": above, "up_to": up_to, **window}}


ALLOW = {"effect": "allow"}


@pytest.mark.parametrize(
    ("given_", "never"),
    [
        ([{}, {"assets": ["ETH"]}], [1]),
        ([{"assets": ["ETH"]}, {}], []),
        ([{"assets": ["ETH"]}, {"assets": ["ETH", "USDC"]}], []),
        ([{"assets": ["ETH"]}, {"assets": ["USDC"]}, {"assets": ["ETH", "USDC"]}], [2]),
        ([usd(above="10"), usd(above="20")], [1]),
        ([usd(above="20"), usd(above="10")], []),
        ([usd(above="20"), usd(up_to="20"), {}], [2]),
        ([usd(above="20"), usd(up_to="19"), {}], []),
        # a limit that allows says nothing about what has no price
        ([usd(above="20"), ALLOW | usd(up_to="20"), {}], [2]),
        ([ALLOW | usd(above="20"), ALLOW | usd(up_to="20"), {}], []),
        ([usd(above="20", window_seconds=60), usd(above="30", window_seconds=60)], [1]),
        ([usd(above="20", window_seconds=60), usd(above="30", window_seconds=61)], []),
        ([usd(above="20", window_seconds=60), usd(above="30")], []),
        ([{"destination": "known"}, {"destination": "group:a"}], [1]),
        ([{"destination": "group:a"}, {"destination": "known"}], []),
        ([{"destination": "known"}, {"destination": "unknown"}, {}], [2]),
        ([{"assets": ["USDC"], "amount": {"asset": "ETH", "above": "1"}}], [0]),
        ([{"hours": {"timezone": "UTC", "days": ["mon"]}}, {"hours": {"timezone": "UTC"}}], []),
        (
            [
                {"hours": {"timezone": "UTC", "from": "22:00", "to": "06:00"}},
                {"hours": {"timezone": "UTC", "from": "06:00", "to": "22:00"}},
                {},
            ],
            [2],
        ),
    ],
)
def test_unreachable(given_: list[dict[str, Any]], never: list[int]) -> None:
    assert coverage.unreachable(rules(*given_)) == never


@pytest.mark.parametrize(
    ("given_", "pairs"),
    [
        ([{"assets": ["ETH"]}, ALLOW | usd(above="5")], [(0, 1)]),
        ([{"assets": ["ETH"]}, usd(above="5")], []),  # the same effect
        ([{"assets": ["ETH"]}, ALLOW], []),  # an exception before the general rule
        ([{"assets": ["ETH"]}, ALLOW | {"assets": ["USDC"]}], []),
        (
            [
                {"effect": "approve", "approvals": {"needed": 1}, "assets": ["ETH"]},
                {"effect": "approve", "approvals": {"needed": 2}, **usd(above="5")},
            ],
            [(0, 1)],
        ),
    ],
)
def test_overlaps(given_: list[dict[str, Any]], pairs: list[tuple[int, int]]) -> None:
    assert coverage.overlaps(rules(*given_)) == pairs


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ([{}], []),
        ([usd(up_to="10"), usd(above="20")], ["amount in USD: above 10.00 up to 20.00"]),
        ([ALLOW | usd(up_to="10"), ALLOW | usd(above="10")], ["amount in USD: no price"]),
        ([{"assets": ["ETH"]}], ["assets: any other"]),
        (
            [
                {"who": {"merchants": ["mer_00000000000000000000000001"]}, "assets": ["ETH"]},
                {"who": {"merchants": ["mer_00000000000000000000000001"]}},
            ],
            ["merchants: any other"],
        ),
        (
            [{"hours": {"timezone": "UTC", "days": ["mon"], "to": "09:00"}}],
            ["hours UTC: mon 09:00 to mon 00:00"],
        ),
    ],
)
def test_gaps(given_: list[dict[str, Any]], told: list[str]) -> None:
    assert coverage.gaps(rules(*given_)) == told


def test_warnings_name_code_and_field() -> None:
    document = {
        "default": {"effect": "block"},
        "rules": [
            {"name": "a", "effect": "allow", "assets": ["ETH"]},
            {"name": "b", "effect": "block", **usd(above="5")},
            {"name": "c", "effect": "block", "assets": ["ETH"]},
        ],
    }
    found = coverage.warnings(parse(document, CATALOG))
    assert [(w["code"], w["field"]) for w in found] == [
        ("unreachable", "rules.2"),
        ("overlap", "rules.1"),
        ("gap", "default"),
    ]
    assert coverage.warnings(parse({"default": {"effect": "block"}, "rules": []}, CATALOG)) == []


@settings(max_examples=150, deadline=None)
@given(documents())
def test_as_every_cell_says(document: dict[str, Any]) -> None:
    """Every combination of cells, tried one by one: small enough for four rules."""
    given_ = parse(document, CATALOG).rules
    space = coverage.Space(given_)
    boxes = [space.box(rule) for rule in given_]
    # dimensions that no rule narrows add nothing
    names = [n for n in space.cells if any(b[n] != space.cells[n] for b in boxes)]
    first: set[int] = set()
    assume(prod(len(space.cells[n]) for n in names) <= 20_000)
    uncovered = 0
    for point in product(*(space.cells[n] for n in names)):
        at = dict(zip(names, point, strict=True))
        matching = [i for i, b in enumerate(boxes) if all(at[n] in b[n] for n in names)]
        first |= set(matching[:1])
        uncovered += not matching
    assert coverage.unreachable(given_) == [i for i in range(len(given_)) if i not in first]
    assert bool(coverage.gaps(given_)) == bool(uncovered)
    rest = coverage.left([dict(space.cells)], boxes)
    assert sum(prod(len(box[n]) for n in names) for box in rest) == uncovered
