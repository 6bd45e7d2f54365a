"""Whether money may move, from all that is known of an address: one pure function.

The strictest answer wins. What has not been answered holds (an unreachable source is never a
yes), and an answer that is refused by nobody, from everybody who had to be asked, accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from risk.lists import Hit, Kind
from risk.rules import ScoreRule
from risk.score import Score


class Outcome(StrEnum):
    """What screening says."""

    ACCEPT = "accept"
    """Nothing speaks against it."""
    HOLD = "hold"
    """Not known yet, or for a person to decide: recorded, not spendable, not sent."""
    REJECT = "reject"
    """Not paid out; as a deposit it stays frozen until a person decides."""


_SEVERITY = (Outcome.ACCEPT, Outcome.HOLD, Outcome.REJECT)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why. Codes: sanctioned_address, screening_list_stale, screening_unanswered,
    screening_flagged, risk_score, source_unknown."""

    code: str
    outcome: Outcome
    source: str
    detail: str

    def json(self) -> dict[str, str]:
        return {"code": self.code, "source": self.source, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source outside said."""

    source: str
    outcome: Outcome
    evidence: Mapping[str, Any]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is known of an address at one moment.

    `required`: the sources that have to be asked. `list_age`: seconds since a list of sanctions was
    loaded (None: never), which counts where `list_max_age` is set. `score` and the rule that it
    meets are there for deposits only.
    """

    address: str
    required: tuple[str, ...]
    answers: Mapping[str, Answer]
    hits: tuple[Hit, ...] = ()
    list_age: int | None = None
    list_max_age: int | None = None
    score: Score | None = None
    score_rule: ScoreRule | None = None
    now: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ask`: sources without an answer that is still believed. `final`: more answers would change
    nothing; a hold that is final waits for a person."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    ask: tuple[str, ...] = ()
    final: bool = True
    evidence: dict[str, Any] = field(default_factory=dict)


def judge(known: Known) -> Judgement:
    """Pure."""
    listed = _lists(known)
    stale = _stale(known)
    believed = {s: a for s, a in known.answers.items() if a.expires_at > known.now}
    ask = tuple(s for s in known.required if s not in believed) if known.address else ()
    told = [_told(believed[s]) for s in known.required if s in believed]
    scored = _score(known)
    unknown = _unknown(known)
    waiting = [
        Reason("screening_unanswered", Outcome.HOLD, source, "has not answered yet")
        for source in ask
    ]
    reasons = [*listed, *stale, *(r for r in told if r), *scored, *unknown, *waiting]
    outcome = max((r.outcome for r in reasons), key=_SEVERITY.index, default=Outcome.ACCEPT)
    rejected = outcome == Outcome.REJECT
    return Judgement(
        outcome,
        tuple(reasons),
        () if rejected else ask,
        final=rejected or not (waiting or stale),
        evidence=_evidence(known, believed),
    )


def _lists(known: Known) -> list[Reason]:
    return [
        Reason("sanctioned_address", Outcome.REJECT, hit.list, _party(hit))
        for hit in known.hits
        if hit.kind == Kind.SANCTIONS
    ]


def _party(hit: Hit) -> str:
    programs = ", ".join(hit.facts.get("programs") or ())
    name = hit.facts.get("name") or "listed"
    return f"{name} [{programs}]" if programs else name


def _stale(known: Known) -> list[Reason]:
    limit = known.list_max_age
    if limit is None or (known.list_age is not None and known.list_age <= limit):
        return []
    told = "was never loaded" if known.list_age is None else f"is {known.list_age} s old"
    return [Reason("screening_list_stale", Outcome.HOLD, "list", f"the local list {told}")]


def _told(answer: Answer) -> Reason | None:
    if answer.outcome == Outcome.ACCEPT:
        return None
    detail = str(answer.evidence.get("detail") or f"says {answer.outcome}")
    code = "sanctioned_address" if answer.outcome == Outcome.REJECT else "screening_flagged"
    return Reason(code, answer.outcome, answer.source, detail)


def _score(known: Known) -> list[Reason]:
    rule, score = known.score_rule, known.score
    if rule is None or score is None:
        return []
    detail = f"{score.value}: {'; '.join(point.detail for point in score.points)}"
    return [Reason("risk_score", Outcome(rule.effect), rule.name, detail)]


def _unknown(known: Known) -> list[Reason]:
    """A movement without a sender (found by comparing balances) cannot be screened at all."""
    asked = known.required or known.list_max_age is not None
    if known.address or not asked:
        return []
    return [Reason("source_unknown", Outcome.HOLD, "chain", "nobody can tell who sent it")]


def _evidence(known: Known, believed: Mapping[str, Answer]) -> dict[str, Any]:
    found: dict[str, Any] = {
        source: {"verdict": answer.outcome.value, **answer.evidence}
        for source, answer in believed.items()
    }
    if known.hits:
        found["lists"] = [
            {"list": hit.list, "kind": hit.kind.value, **hit.facts} for hit in known.hits
        ]
    if known.score is not None:
        found["score"] = [
            {"code": p.code, "points": p.points, "detail": p.detail} for p in known.score.points
        ]
    return found
