"""The verdict on an address: every combination of what can be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from risk.lists import Hit, Kind
from risk.rules import ScoreRule
from risk.score import Point, Score
from risk.verdicts import Answer, Known, Outcome, judge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ADDRESS = "0x" + "ab" * 20
LISTED = Hit("ofac", Kind.SANCTIONS, {"name": "LAZARUS GROUP", "programs": ["DPRK3"]})
MIXER = Hit("mixers", Kind.MIXER, {})
SCORE = Score(70, (Point("new_address", 10, "new"), Point("mixer", 60, "mixed")))


def answer(source: str, outcome: str, *, expires: int = 60, **evidence: Any) -> Answer:
    return Answer(source, Outcome(outcome), evidence, NOW + timedelta(seconds=expires))


def known(**more: Any) -> Known:
    given: dict[str, Any] = {"address": ADDRESS, "required": (), "answers": {}, "now": NOW}
    return Known(**(given | more))


@pytest.mark.parametrize(
    ("facts", "outcome", "codes", "ask", "final"),
    [
        ({}, "accept", [], (), True),
        ({"hits": (MIXER,)}, "accept", [], (), True),
        ({"hits": (LISTED,)}, "reject", ["sanctioned_address"], (), True),
        ({"list_age": None, "list_max_age": 60}, "hold", ["screening_list_stale"], (), False),
        ({"list_age": 61, "list_max_age": 60}, "hold", ["screening_list_stale"], (), False),
        ({"list_age": 60, "list_max_age": 60}, "accept", [], (), True),
        ({"list_age": 61, "list_max_age": None}, "accept", [], (), True),
        ({"address": ""}, "accept", [], (), True),
        ({"address": "", "required": ("oracle",)}, "hold", ["source_unknown"], (), True),
        (
            {"address": "", "list_age": 1, "list_max_age": 60},
            "hold",
            ["source_unknown"],
            (),
            True,
        ),
    ],
)
def test_lists(
    facts: dict[str, Any], outcome: str, codes: list[str], ask: tuple[str, ...], final: bool
) -> None:
    found = judge(known(**facts))
    assert (found.outcome, [r.code for r in found.reasons]) == (outcome, codes)
    assert (found.ask, found.final) == (ask, final)


def naive(listed: bool, stale: bool, words: tuple[str, str], rule: str | None) -> tuple[str, bool]:
    """(outcome, final) as the page says it: strictest wins; what waits is not final."""
    said = [*words, *(["reject"] if listed else []), *([rule] if rule else [])]
    if "reject" in said:
        return "reject", True
    waits = stale or "missing" in said or "expired" in said
    if waits or "hold" in said:
        return "hold", not waits
    return "accept", True


WORDS = ("accept", "hold", "reject", "missing", "expired")


@pytest.mark.parametrize(
    ("listed", "stale", "words", "rule"),
    list(product((False, True), (False, True), product(WORDS, WORDS), (None, "hold", "reject"))),
)
def test_every_combination(
    listed: bool, stale: bool, words: tuple[str, str], rule: str | None
) -> None:
    answers = {}
    for source, word in zip(("oracle", "provider"), words, strict=True):
        if word == "expired":
            answers[source] = answer(source, "accept", expires=0)
        elif word != "missing":
            answers[source] = answer(source, word)
    facts = known(
        required=("oracle", "provider"),
        answers=answers,
        hits=(LISTED,) if listed else (),
        list_age=100 if stale else 10,
        list_max_age=50,
        score=SCORE,
        score_rule=ScoreRule(name="risky", score=60, effect=rule) if rule else None,
    )
    found = judge(facts)
    assert (found.outcome, found.final) == naive(listed, stale, words, rule)
    unanswered = tuple(
        source
        for source, word in zip(("oracle", "provider"), words, strict=True)
        if word in ("missing", "expired")
    )
    assert found.ask == (() if found.outcome == "reject" else unanswered)
    assert {r.source for r in found.reasons if r.code == "screening_unanswered"} == set(unanswered)
    assert found.reasons or found.outcome == "accept"


def test_reasons_and_evidence_name_who_says_what() -> None:
    facts = known(
        required=("provider",),
        answers={"provider": answer("provider", "hold", detail="exposure 12 %", case="7")},
        hits=(LISTED, MIXER),
        score=SCORE,
        score_rule=ScoreRule(name="risky", score=60, effect="hold"),
    )
    found = judge(facts)
    assert [reason.json() for reason in found.reasons] == [
        {"code": "sanctioned_address", "source": "ofac", "detail": "LAZARUS GROUP [DPRK3]"},
        {"code": "screening_flagged", "source": "provider", "detail": "exposure 12 %"},
        {"code": "risk_score", "source": "risky", "detail": "70: new; mixed"},
    ]
    assert found.evidence == {
        "provider": {"verdict": "hold", "detail": "exposure 12 %", "case": "7"},
        "lists": [
            {"list": "ofac", "kind": "sanctions", "name": "LAZARUS GROUP", "programs": ["DPRK3"]},
            {"list": "mixers", "kind": "mixer"},
        ],
        "score": [
            {"code": "new_address", "points": 10, "detail": "new"},
            {"code": "mixer", "points": 60, "detail": "mixed"},
        ],
    }
