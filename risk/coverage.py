"""What is odd about a policy: rules that are never reached, requests that no rule names, rules that
differ about the same request so that only their order decides.

Every condition splits one dimension into few cells (the values that some rule names, and the rest);
a rule is then a box of cells, and boxes can be subtracted exactly. Dimensions are taken as
independent of each other, so what is called unreachable never matches first, while a gap may be one
that no request can meet (a single amount above its own daily sum).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

from core import ids
from core.money import Asset
from risk.rules import (
    DAY_MINUTES,
    DAYS,
    AddressKind,
    Amount,
    Effect,
    Hours,
    Initiator,
    Rule,
    Ruleset,
)

OTHER = "any other"
UNKNOWN = "no price"
UNTOLD = "not known"
MOST_BOXES = 2000  # beyond them a question stays unanswered: only warnings hang on it
MOST_GAPS = 3  # told one by one
WEEK_MINUTES = 7 * DAY_MINUTES

Box = dict[str, frozenset[Any]]  # dimension -> cells; all dimensions are there


class TooMany(Exception):
    """More boxes than anybody wants to wait for."""


class Space:
    """The dimensions of some rules and their cells."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.cells: dict[str, frozenset[Any]] = {}
        self._limits: dict[str, list[int]] = {}
        self._minutes: dict[str, list[int]] = {}
        for name in ("merchants", "keys", "assets", "networks"):
            named = {v for r in rules for v in getattr(r, name) or ()}
            self.cells[name] = frozenset(named) | {OTHER}
        self.cells["initiators"] = frozenset(Initiator)
        self.cells["address_kinds"] = frozenset(AddressKind) | {UNTOLD}
        self.cells["assets"] |= {
            r.amount.unit.symbol for r in rules if r.amount and not r.amount.unit.is_fiat
        }
        groups = {r.destination for r in rules if r.destination.startswith("group:")}
        self.cells["destination"] = frozenset(groups) | {"unknown", "known"}
        for rule in rules:
            if rule.amount is not None:
                marks = self._limits.setdefault(_measure(rule.amount), [])
                marks += [m for m in (rule.amount.above, rule.amount.up_to) if m is not None]
            if rule.hours is not None:
                marks = self._minutes.setdefault(rule.hours.timezone, [])
                marks += [m for span in _spans(rule.hours) for m in span]
        for name, marks in self._limits.items():
            self.cells[name] = frozenset(_intervals(marks)) | {UNKNOWN}
        for name, marks in self._minutes.items():
            self.cells[f"hours {name}"] = frozenset(_weeks_cells(marks))

    def box(self, rule: Rule) -> Box:
        """The cells that the rule matches."""
        box = dict(self.cells)
        for name in ("merchants", "keys", "initiators", "assets", "networks"):
            named = getattr(rule, name)
            if named is not None:
                box[name] = frozenset(named)
        kind = rule.destination.partition(":")[0]
        if kind == "known":
            box["destination"] = self.cells["destination"] - {"unknown"}
        elif kind != "any":
            box["destination"] = frozenset({rule.destination})
        if rule.address_kinds is not None:
            untold = set() if rule.effect == Effect.ALLOW else {UNTOLD}
            box["address_kinds"] = rule.address_kinds | untold
        if rule.amount is not None:
            self._narrow_amount(box, rule.amount, allows=rule.effect == Effect.ALLOW)
        if rule.hours is not None:
            name = f"hours {rule.hours.timezone}"
            spans = _spans(rule.hours)
            box[name] = frozenset(
                (low, high)
                for low, high in self.cells[name]
                if any(start <= low and high <= end for start, end in spans)
            )
        return box

    def _narrow_amount(self, box: Box, amount: Amount, *, allows: bool) -> None:
        name = _measure(amount)
        low, high = amount.above or 0, amount.up_to
        box[name] = frozenset(
            cell
            for cell in self.cells[name]
            if (
                not allows
                if cell == UNKNOWN
                else cell[0] >= low and (high is None or (cell[1] is not None and cell[1] <= high))
            )
        )
        if not amount.unit.is_fiat:  # a limit in one asset matches no other
            box["assets"] &= {amount.unit.symbol}


def unreachable(rules: Sequence[Rule]) -> list[int]:
    """The rules that nothing is left for after those before them."""
    space = Space(rules)
    boxes = [space.box(rule) for rule in rules]
    found = []
    for index, box in enumerate(boxes):
        try:
            if not left([box], boxes[:index]):
                found.append(index)
        except TooMany:
            continue
    return found


def overlaps(rules: Sequence[Rule]) -> list[tuple[int, int]]:
    """Pairs with different effects that both match something, where neither is the exception of
    the other: only their order decides."""
    space = Space(rules)
    boxes = [space.box(rule) for rule in rules]
    found = []
    for j, box in enumerate(boxes):
        for i, earlier in enumerate(boxes[:j]):
            differ = _outcome(rules[i]) != _outcome(rules[j])
            if differ and _meet(earlier, box) and not _in(earlier, box) and not _in(box, earlier):
                found.append((i, j))
    return found


def gaps(rules: Sequence[Rule]) -> list[str]:
    """What no rule matches, in words: the default decides there. Raises TooMany."""
    space = Space(rules)
    rest = left([dict(space.cells)], [space.box(rule) for rule in rules])
    units = {_measure(r.amount): r.amount.unit for r in rules if r.amount is not None}
    return [_words(box, space, units) for box in rest]


def warnings(ruleset: Ruleset) -> list[dict[str, str]]:
    """[{code, field, message}] of what a person should look at before publishing."""
    rules = ruleset.rules
    found = [
        _warning("unreachable", f"rules.{i}", "never matches: the rules before it take everything")
        for i in unreachable(rules)
    ]
    for i, j in overlaps(rules):
        message = f"differs from {rules[i].name!r} about some requests: the first one wins"
        found.append(_warning("overlap", f"rules.{j}", message))
    try:
        missing = gaps(rules) if rules else []
    except TooMany:
        missing = []
    told = missing[:MOST_GAPS]
    if len(missing) > MOST_GAPS:
        told.append(f"{len(missing) - MOST_GAPS} more kinds of requests")
    return found + [_warning("gap", "default", f"decides on {words}") for words in told]


def left(boxes: Iterable[Box], taken: Iterable[Box]) -> list[Box]:
    """What remains of `boxes` without `taken`, as boxes that do not meet. Raises TooMany."""
    rest = [box for box in boxes if all(box.values())]
    for one in taken:
        rest = [piece for box in rest for piece in _without(box, one)]
        if len(rest) > MOST_BOXES:
            raise TooMany
    return rest


def _without(box: Box, other: Box) -> list[Box]:
    if not _meet(box, other):
        return [box]
    pieces = []
    core = dict(box)
    for name, cells in box.items():
        outside = cells - other[name]
        if outside:
            pieces.append({**core, name: outside})
            core[name] = cells & other[name]
    return pieces


def _meet(one: Box, other: Box) -> bool:
    return all(one[name] & other[name] for name in one)


def _in(inner: Box, outer: Box) -> bool:
    return all(inner[name] <= outer[name] for name in inner)


def _outcome(rule: Rule) -> tuple[Any, ...]:
    return rule.effect, rule.needed, frozenset(rule.approvers)


def _measure(amount: Amount) -> str:
    window = amount.window
    if window is None:
        return f"amount in {amount.unit.symbol}"
    of = "".join(f" of {', '.join(v)}" for v in (window.assets, window.networks) if v)
    return f"sum in {window.unit}{of} of {window.seconds} s per {window.per}"


def _intervals(marks: Iterable[int]) -> list[tuple[int, int | None]]:
    """(low, high] cells between the marks; the last has no end."""
    points = sorted({0, *marks})
    return [*pairwise(points), (points[-1], None)]


def _spans(hours: Hours) -> list[tuple[int, int]]:
    """[start, end) in minutes of the week, cut at its end."""
    found = []
    for index, day in enumerate(DAYS):
        if day not in hours.days:
            continue
        start = index * DAY_MINUTES + hours.start
        end = index * DAY_MINUTES + hours.end
        if hours.end <= hours.start:
            end += DAY_MINUTES
        found.append((start, min(end, WEEK_MINUTES)))
        if end > WEEK_MINUTES:
            found.append((0, end - WEEK_MINUTES))
    return _joined(found)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _weeks_cells(marks: Iterable[int]) -> list[tuple[int, int]]:
    return list(pairwise(sorted({0, WEEK_MINUTES, *marks})))


def _warning(code: str, field: str, message: str) -> dict[str, str]:
    return {"code": code, "field": field, "message": message}


def _words(box: Box, space: Space, units: dict[str, Asset]) -> str:
    """Only the dimensions that are not whole."""
    told = [
        f"{name}: {', '.join(sorted(_cell(name, cell, units.get(name)) for cell in cells))}"
        for name, cells in box.items()
        if cells != space.cells[name]
    ]
    return "; ".join(told) or "every request"


def _cell(name: str, cell: Any, unit: Asset | None) -> str:
    if isinstance(cell, UUID):
        return ids.show("mer" if name == "merchants" else "key", cell)
    if unit is None or cell == UNKNOWN:
        return _time(cell) if isinstance(cell, tuple) else str(cell)
    low, high = cell
    above = f"above {unit.format(low)}" if low else ""
    up_to = f"up to {unit.format(high)}" if high is not None else ""
    return " ".join(part for part in (above, up_to) if part)


def _time(span: tuple[int, int]) -> str:
    return " to ".join(
        f"{DAYS[m // DAY_MINUTES % 7]} {m % DAY_MINUTES // 60:02}:{m % 60:02}" for m in span
    )
