"""One pure function: open lines of a bank account and what is under way to it -> what is what.

A line that names what it is (our TypeID in its text) is that, and nothing else: if the amounts do
not agree a person decides. Without a name the amount decides, within a window of days: line and
claim of one amount, oldest first (of two that are equal either does, but for a move and a payout);
else one line for several claims, or several lines of one day for one claim, where exactly one group
of few makes the sum. What two groups would explain stays open. Nothing is matched in part, nothing
twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

EARLY = timedelta(days=1)  # a bank's day may have begun before ours
LATE = timedelta(days=30)
CANDIDATES = 16  # the nearest in time are tried
MOST_CLAIMS = 5  # moves that a venue pays together
MOST_LINES = 3  # fewer: lines are many, and sums of many agree by accident
STEPS = 200_000  # of the search for groups, altogether


class Sized(Protocol):
    """What has an amount in minor units: in is positive, out negative."""

    @property
    def amount(self) -> int: ...


Item = TypeVar("Item", bound=Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLine:
    """A booking that nothing explains yet."""

    id: UUID
    amount: int
    on: date
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What left somewhere on that day and should show, or (negative) what the bank was asked to
    pay. `reference` is its TypeID. `by_name`: nothing but its name in a line makes it that.
    `alone`: it is one line, and no other claim's. `is_due`: a statement should show it. `credited`:
    the other side has it already."""

    reference: str
    amount: int
    on: date
    by_name: bool = False
    alone: bool = False
    is_due: bool = True
    credited: bool = False

    @property
    def kind(self) -> str:
        return self.reference.partition("_")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """One line and one claim or more, or one claim and one line or more; both sums are equal."""

    lines: tuple[OpenLine, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`differs`: lines that name claims, with another amount."""

    matches: tuple[Match, ...]
    differs: dict[UUID, tuple[str, ...]]


def match(lines: Iterable[OpenLine], claims: Iterable[Claim]) -> Outcome:
    """The same for the same sets, in whatever order they come."""
    search = _Search(lines, claims)
    search.by_name()
    search.by_amount()
    search.by_groups()
    return Outcome(tuple(search.matches), search.differs)


class _Search:
    """What is still open, in order of time."""

    def __init__(self, lines: Iterable[OpenLine], claims: Iterable[Claim]) -> None:
        self._lines = sorted(lines, key=lambda line: (line.on, line.id))
        self._claims = sorted(claims, key=lambda claim: (claim.on, claim.reference))
        self._steps = STEPS
        self.matches: list[Match] = []
        self.differs: dict[UUID, tuple[str, ...]] = {}

    def by_name(self) -> None:
        """Lines and claims that name each other, as far as they hang together, are one case."""
        names = {plain(claim.reference): claim for claim in self._claims}
        naming: dict[UUID, list[Claim]] = {}
        named: dict[str, list[OpenLine]] = defaultdict(list)
        for line in self._lines:
            text = plain(line.text)
            for name, claim in names.items():
                if name in text:
                    naming.setdefault(line.id, []).append(claim)
                    named[claim.reference].append(line)
        for line in [line for line in self._lines if line.id in naming]:
            its = naming[line.id]
            together = named[its[0].reference]
            is_star = all(named[claim.reference] == [line] for claim in its) or all(
                naming[other.id] == its for other in together
            )
            if line.id in self.differs or line not in self._lines:
                continue
            agree = _total(together) == _total(its) and (len(its) == 1 or len(together) == 1)
            if is_star and agree:
                self._take(together, its)
            else:
                self.differs[line.id] = tuple(claim.reference for claim in its)
        self._lines = [line for line in self._lines if line.id not in self.differs]
        blocked = {reference for its in self.differs.values() for reference in its}
        self._claims = [
            claim for claim in self._claims if claim.reference not in blocked and not claim.by_name
        ]

    def by_amount(self) -> None:
        for line in list(self._lines):
            equal = [c for c in self._claims if c.amount == line.amount and _near(line, c)]
            if equal and self._is_plain(line, equal):
                self._take([line], equal[:1])

    def _is_plain(self, line: OpenLine, equal: Sequence[Claim]) -> bool:
        """Of one kind either claim does. Between kinds each must have its line: a payout that is
        told to be paid must not be a move."""
        if len({claim.kind for claim in equal}) == 1:
            return True
        lines = [one for one in self._lines if one.amount == line.amount]
        near = [one for one in lines if all(_near(one, claim) for claim in equal)]
        return len(lines) == len(near) == len(equal)

    def by_groups(self) -> None:
        for line in list(self._lines):
            near = [claim for claim in self._claims if _near(line, claim) and not claim.alone]
            near.sort(key=lambda claim: (abs(claim.on - line.on), claim.on, claim.reference))
            group = self._group(near, line.amount, MOST_CLAIMS)
            if group:
                self._take([line], group)
        for claim in [claim for claim in self._claims if not claim.alone]:
            days: dict[date, list[OpenLine]] = defaultdict(list)
            for line in self._lines:
                if _near(line, claim):
                    days[line.on].append(line)
            groups = [self._group(days[day], claim.amount, MOST_LINES) for day in sorted(days)]
            found = [group for group in groups if group]
            if len(found) == 1:
                self._take(found[0], [claim])

    def _group(self, items: Sequence[Item], wanted: int, most: int) -> list[Item]:
        """The only two or more of one sign that make the sum; empty: none, or more than one."""
        sign = 1 if wanted > 0 else -1
        smaller = [item for item in items if 0 < sign * item.amount < sign * wanted]
        ordered = sorted(smaller[:CANDIDATES], key=lambda item: -sign * item.amount)
        found: list[list[Item]] = []
        self._try(ordered, 0, sign * wanted, sign, most, [], found)
        return found[0] if len(found) == 1 and self._steps > 0 else []

    def _try(
        self,
        items: Sequence[Item],
        start: int,
        left: int,
        sign: int,
        most: int,
        taken: list[Item],
        found: list[list[Item]],
    ) -> None:
        if left == 0:
            found.append(list(taken))
            return
        for n in range(start, len(items) if most else start):
            self._steps -= 1
            if self._steps <= 0 or len(found) > 1:
                return
            if sign * items[n].amount <= left:
                taken.append(items[n])
                left_now = left - sign * items[n].amount
                self._try(items, n + 1, left_now, sign, most - 1, taken, found)
                taken.pop()

    def _take(self, lines: Sequence[OpenLine], claims: Sequence[Claim]) -> None:
        self.matches.append(Match(tuple(lines), tuple(claims)))
        self._lines = [line for line in self._lines if line not in lines]
        self._claims = [claim for claim in self._claims if claim not in claims]


def _total(items: Sequence[Sized]) -> int:
    return sum(item.amount for item in items)


def _near(line: OpenLine, claim: Claim) -> bool:
    return claim.on - EARLY <= line.on <= claim.on + LATE


def plain(text: str) -> str:
    """Banks break texts anywhere, write them large, and drop what their character set lacks."""
    return "".join(character for character in text.casefold() if character.isalnum())
