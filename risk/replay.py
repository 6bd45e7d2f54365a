"""A draft, tried on what was asked for already: what would have been decided otherwise."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.clock import show
from core.money import FIAT
from risk.evaluate import evaluate
from risk.requests import Past
from risk.rules import Decision, Effect, Per, Request, Ruleset, Window


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the draft decides otherwise than it was decided."""

    past: Past
    would: Decision

    def json(self) -> dict[str, Any]:
        was = self.past
        return {
            "reference": was.request.reference,
            "at": show(was.request.at),
            "was": {
                "effect": was.effect.value,
                "rule": was.rule,
                "needed": was.needed,
                "approvers": sorted(was.approvers),
            },
            "would": self.would.json(),
        }


def replay(rules: Ruleset, past: Iterable[Past]) -> list[Difference]:
    """`past` in the order it came. A window counts what the draft would have let go, so one
    request that it blocks makes room for later ones; what never left counts in neither world."""
    tallies = {window: Tally(window) for window in rules.windows()}
    found = []
    for one in past:
        request = one.request
        history = {window: tally.before(request) for window, tally in tallies.items()}
        would = evaluate(rules, request, history)
        asks = would.effect, would.needed, frozenset(would.approvers)
        if asks != (one.effect, one.needed, one.approvers):
            found.append(Difference(one, would))
        withdrawn = one.released and one.effect != Effect.BLOCK
        if would.effect != Effect.BLOCK and not withdrawn:
            for tally in tallies.values():
                tally.add(request)
    return found


class Tally:
    """The rolling sum of one window, fed in the order of time."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._span = timedelta(seconds=window.seconds)
        self._scopes: defaultdict[tuple[Any, ...], _Scope] = defaultdict(_Scope)

    def before(self, request: Request) -> int | None:
        """What is in the window when the request comes; None where a value is not known."""
        scope = self._scopes[self._scope(request)]
        scope.forget(request.at - self._span)
        return None if scope.unknown else scope.total

    def add(self, request: Request) -> None:
        window = self._window
        if window.assets is not None and request.asset not in window.assets:
            return
        if window.networks is not None and request.network not in window.networks:
            return
        value = request.house_value if window.unit in FIAT else request.amount
        self._scopes[self._scope(request)].add(request.at, value)

    def _scope(self, request: Request) -> tuple[UUID | str | None, ...]:
        if self._window.per == Per.DESTINATION:
            return request.merchant_id, request.address
        if self._window.per == Per.KEY:
            return request.merchant_id, request.key_id
        return (request.merchant_id,)


class _Scope:
    """One sum, with what made it, oldest first."""

    def __init__(self) -> None:
        self.total = 0
        self.unknown = 0
        self._parts: deque[tuple[datetime, int | None]] = deque()

    def add(self, at: datetime, value: int | None) -> None:
        self._parts.append((at, value))
        self.total += value or 0
        self.unknown += value is None

    def forget(self, until: datetime) -> None:
        while self._parts and self._parts[0][0] <= until:
            _, value = self._parts.popleft()
            self.total -= value or 0
            self.unknown -= value is None
