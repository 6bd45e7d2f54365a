"""A draft tried on the past: as if every request were judged again, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from risk.document import parse
from risk.replay import replay
from risk.requests import Past
from risk.rules import Effect, Request
from tests.unit.risk import naive
from tests.unit.risk.documents import START, days, documents
from tests.unit.risk.world import CATALOG, NETWORK


def past(n: int, value: int, effect: Effect = Effect.ALLOW, **more: Any) -> Past:
    request = Request(
        reference=f"pay_{n}",
        merchant_id=UUID(int=1),
        network=NETWORK,
        asset="USDC",
        address="0x" + "ab" * 20,
        amount=value * 10_000,
        house_value=value,
        at=START + timedelta(minutes=n),
    )
    return Past(
        request=request,
        effect=effect,
        rule=None,
        needed=more.get("needed", 0),
        approvers=frozenset(more.get("approvers", ())),
        released=more.get("released", effect == Effect.BLOCK),
    )


def daily(limit: str) -> dict[str, Any]:
    amount = {"asset": "USD", "above": limit, "window_seconds": 86_400}
    return {"name": "daily", "effect": "block", "amount": amount}


def test_a_window_counts_what_the_draft_would_have_let_go() -> None:
    draft = parse({"default": {"effect": "allow"}, "rules": [daily("100")]}, CATALOG)
    found = replay(draft, [past(0, 6_000), past(1, 5_000), past(2, 4_000), past(3, 1)])
    assert [d.past.request.reference for d in found] == ["pay_1", "pay_3"]
    assert found[0].json()["was"] == {
        "effect": "allow",
        "rule": None,
        "needed": 0,
        "approvers": [],
    }
    assert found[0].json()["would"]["rule"] == "daily"
    assert found[0].json()["at"] == "2026-03-27T20:01:00Z"


def test_what_never_left_counts_in_neither_world() -> None:
    draft = parse({"default": {"effect": "allow"}, "rules": [daily("100")]}, CATALOG)
    assert replay(draft, [past(0, 9_000, released=True), past(1, 9_000)]) == []


def test_what_was_blocked_and_would_not_be_counts() -> None:
    draft = parse({"default": {"effect": "allow"}, "rules": [daily("100")]}, CATALOG)
    found = replay(draft, [past(0, 9_000, Effect.BLOCK), past(1, 9_000)])
    assert [(d.past.request.reference, d.would.effect) for d in found] == [
        ("pay_0", "allow"),
        ("pay_1", "block"),
    ]


def test_a_day_later_the_window_is_empty() -> None:
    draft = parse({"default": {"effect": "allow"}, "rules": [daily("100")]}, CATALOG)
    first, second = past(0, 10_000), past(1, 10_000)
    for later, blocked in ((86_399, True), (86_400, False)):
        at = first.request.at + timedelta(seconds=later)
        moved = replace(second, request=replace(second.request, at=at))
        assert bool(replay(draft, [first, moved])) == blocked


def test_other_approvers_are_another_decision() -> None:
    """As many signatures, of others: named in another order they are the same."""
    a, b, c = ("0x" + letter * 40 for letter in "abc")
    by = {"name": "people", "effect": "approve", "approvals": {"needed": 2, "of": [a, b, c]}}
    draft = parse({"rules": [by]}, CATALOG)
    asked = [
        past(0, 1, Effect.APPROVE, needed=2, approvers=(c, b, a)),
        past(1, 1, Effect.APPROVE, needed=2, approvers=(a, b)),
        past(2, 1, Effect.APPROVE, needed=2),
    ]
    found = [difference.json() for difference in replay(draft, asked)]
    assert [one["reference"] for one in found] == ["pay_1", "pay_2"]
    assert [one["was"]["approvers"] for one in found] == [[a, b], []]
    assert found[0]["would"]["approvers"] == [a, b, c]


@settings(max_examples=200, deadline=None)
@given(documents(), days(12), st.data())
def test_as_judging_one_by_one_says(
    document: dict[str, Any], requests: list[Request], data: st.DataObject
) -> None:
    rules = parse(document, CATALOG)
    history = [
        Past(
            request=one,
            effect=data.draw(st.sampled_from(Effect)),
            rule=None,
            needed=0,
            approvers=frozenset(),
            released=data.draw(st.booleans()),
        )
        for one in requests
    ]
    let_go: list[Request] = []
    expected = []
    for one in history:
        effect, name = naive.decide(document, one.request, let_go)
        needed, of = 0, frozenset[str]()
        if effect == "approve":
            rule = next(r for r in document["rules"] if r["name"] == name)
            needed, of = rule["approvals"]["needed"], frozenset(rule["approvals"].get("of") or [])
        if (effect, needed, of) != (one.effect, one.needed, one.approvers):
            expected.append((one.request.reference, effect))
        if effect != "block" and (one.effect == Effect.BLOCK or not one.released):
            let_go.append(one.request)
    found = [(d.past.request.reference, d.would.effect) for d in replay(rules, history)]
    assert found == expected
