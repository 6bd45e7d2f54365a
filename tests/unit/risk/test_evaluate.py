"""The policy's answer: each condition at its edge, and against a second, naive reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings

from core import ids
from risk.document import parse
from risk.evaluate import evaluate
from risk.rules import AddressKind, Effect, Initiator, Request, Ruleset, Sums
from tests.unit.risk import naive
from tests.unit.risk.documents import days, documents
from tests.unit.risk.world import CATALOG, NETWORK, OTHER

ME, MY_KEY = UUID(int=1), UUID(int=11)
MONDAY_NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)
REQUEST = Request(
    reference="r",
    merchant_id=ME,
    key_id=MY_KEY,
    network=NETWORK,
    asset="USDC",
    address="0x" + "ab" * 20,
    amount=100 * 10**6,
    house_value=10_000,
    at=MONDAY_NOON,
)


def ruleset(*rules: dict[str, Any], default: str = "allow") -> Ruleset:
    named = [{"name": f"rule {n}", "effect": "block"} | rule for n, rule in enumerate(rules)]
    return parse({"default": {"effect": default}, "rules": named}, CATALOG)


def sums(rules: Ruleset, request: Request, past: list[Request]) -> Sums:
    found: dict[Any, int | None] = {}
    for window in rules.windows():
        unit = CATALOG.asset(window.unit)
        assert unit is not None
        values = [p.measured(unit) for p in past if p.counts_in(window, request)]
        found[window] = None if None in values else sum(v for v in values if v is not None)
    return found


@pytest.mark.parametrize(
    ("rule", "request_", "blocked"),
    [
        ({}, {}, True),
        ({"who": {"merchants": [ids.show("mer", ME)]}}, {}, True),
        ({"who": {"merchants": [ids.show("mer", ME)]}}, {"merchant_id": UUID(int=2)}, False),
        ({"who": {"keys": [ids.show("key", MY_KEY)]}}, {}, True),
        ({"who": {"keys": [ids.show("key", MY_KEY)]}}, {"key_id": None}, False),
        ({"who": {"initiators": ["key"]}}, {}, True),
        ({"who": {"initiators": ["customer"]}}, {}, False),
        ({"who": {"initiators": ["customer"]}}, {"initiator": Initiator.CUSTOMER}, True),
        ({"assets": ["USDC", "ETH"]}, {}, True),
        ({"assets": ["ETH"]}, {}, False),
        ({"networks": [NETWORK]}, {}, True),
        ({"networks": [OTHER]}, {}, False),
        ({"destination": "any"}, {"known": True}, True),
        ({"destination": "known"}, {"known": True}, True),
        ({"destination": "known"}, {}, False),
        ({"destination": "unknown"}, {}, True),
        ({"destination": "unknown"}, {"known": True}, False),
        ({"destination": "group:staff"}, {"known": True, "group": "staff"}, True),
        ({"destination": "group:staff"}, {"known": True, "group": "other"}, False),
        ({"destination": "group:staff"}, {"known": True}, False),
        ({"address_kinds": ["contract"]}, {"address_kind": AddressKind.CONTRACT}, True),
        ({"address_kinds": ["contract"]}, {"address_kind": AddressKind.DELEGATED}, False),
        ({"address_kinds": ["contract"]}, {}, True),
        ({"address_kinds": ["contract"]}, {"address": "GB82WEST12345698765432"}, False),
        ({"amount": {"asset": "USD", "above": "99.99"}}, {}, True),
        ({"amount": {"asset": "USD", "above": "100"}}, {}, False),
        ({"amount": {"asset": "USD", "up_to": "100"}}, {}, True),
        ({"amount": {"asset": "USD", "up_to": "99.99"}}, {}, False),
        ({"amount": {"asset": "USD", "above": "50", "up_to": "100"}}, {}, True),
        ({"amount": {"asset": "USD", "above": "100", "up_to": "200"}}, {}, False),
        ({"amount": {"asset": "USDC", "above": "99.999999"}}, {}, True),
        ({"amount": {"asset": "USDC", "above": "100"}}, {}, False),
        ({"amount": {"asset": "ETH", "up_to": "1000"}}, {}, False),
        ({"amount": {"asset": "USD", "above": "1000000"}}, {"house_value": None}, True),
        ({"amount": {"asset": "USDC", "above": "100"}}, {"house_value": None}, False),
        ({"hours": {"timezone": "UTC", "from": "12:00", "to": "12:01"}}, {}, True),
        ({"hours": {"timezone": "UTC", "from": "12:01", "to": "24:00"}}, {}, False),
        ({"hours": {"timezone": "UTC", "from": "09:00", "to": "12:00"}}, {}, False),
        ({"hours": {"timezone": "Europe/Berlin", "from": "13:00", "to": "14:00"}}, {}, True),
        ({"hours": {"timezone": "UTC", "days": ["mon"]}}, {}, True),
        ({"hours": {"timezone": "UTC", "days": ["tue", "sun"]}}, {}, False),
        (
            {"hours": {"timezone": "UTC", "days": ["sun"], "from": "22:00", "to": "13:00"}},
            {},
            True,
        ),
        (
            {"hours": {"timezone": "UTC", "days": ["mon"], "from": "22:00", "to": "13:00"}},
            {},
            False,
        ),
        (
            {"hours": {"timezone": "Pacific/Auckland", "days": ["tue"], "to": "02:00"}},
            {},
            True,
        ),
    ],
)
def test_each_condition(rule: dict[str, Any], request_: dict[str, Any], blocked: bool) -> None:
    rules = ruleset(rule)
    decision = evaluate(rules, replace(REQUEST, **request_), {})
    assert (decision.effect == Effect.BLOCK) == blocked
    assert decision.steps[0].matched == blocked
    assert decision.rule == ("rule 0" if blocked else None)


def test_an_unknown_value_is_never_allowed_by_a_limit() -> None:
    limit = {"asset": "USD", "up_to": "1000000"}
    rules = ruleset({"effect": "allow", "amount": limit}, default="block")
    assert evaluate(rules, REQUEST, {}).effect == Effect.ALLOW
    decision = evaluate(rules, replace(REQUEST, house_value=None), {})
    assert decision.effect == Effect.BLOCK
    assert "fresh price" in decision.steps[0].why


def test_the_first_match_wins_and_tells_every_step() -> None:
    of = ["0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20]
    rules = ruleset(
        {"assets": ["ETH"]},
        {
            "effect": "approve",
            "approvals": {"needed": 2, "of": of},
            "amount": {"asset": "USD", "above": "50"},
        },
        {"effect": "block"},
    )
    decision = evaluate(rules, REQUEST, {})
    assert decision.json() == {
        "effect": "approve",
        "needed": 2,
        "approvers": of,
        "rule": "rule 1",
        "version": 0,
        "steps": [
            {"rule": "rule 0", "matched": False, "why": "the asset is USDC"},
            {"rule": "rule 1", "matched": True, "why": "the effect is approve by 2 of 3"},
        ],
    }


def test_windows_add_up_what_left_before() -> None:
    amount = {"asset": "USD", "above": "250", "window_seconds": 3600}
    rules = ruleset({"amount": amount})
    [window] = rules.windows()
    for before, effect in ((0, "allow"), (15_000, "allow"), (15_001, "block"), (None, "block")):
        assert evaluate(rules, REQUEST, {window: before}).effect == effect


def test_nothing_published_allows_all() -> None:
    assert evaluate(Ruleset(), REQUEST, {}).effect == Effect.ALLOW


@settings(max_examples=400)
@given(documents(), days())
def test_as_a_naive_reading_says(document: dict[str, Any], requests: list[Request]) -> None:
    rules = parse(document, CATALOG)
    *past, request = requests
    decision = evaluate(rules, request, sums(rules, request, past))
    assert (decision.effect, decision.rule or "default") == naive.decide(document, request, past)
    assert [s.matched for s in decision.steps[:-1]] == [False] * (len(decision.steps) - 1)
    assert decision.steps[-1].matched
