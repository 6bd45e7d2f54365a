"""A bank's statement as any format tells it: exact, and proved by its own balances."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from core.errors import Invalid, InvalidAmount
from core.money import Asset

LONGEST_TEXT = 10_000
LARGEST = 10**24  # minor units: more is no bank account's, and sums of many stay countable
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One booking. `amount` in minor units: in is positive, out negative, never zero."""

    booked_on: date
    value_on: date | None
    amount: int
    reference: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """`number` is the bank's own name of it, `sequence` its count where it has one. Balances in
    minor units, overdrafts negative."""

    number: str
    sequence: int | None
    format: str
    opened_on: date
    closed_on: date
    opening: int
    closing: int
    lines: tuple[Line, ...]


def check(statement: Statement, asset: Asset) -> None:
    """Raises Invalid `statement_does_not_add_up` with the difference: a line is missing, or twice,
    or was read wrong, so that none of it can be believed."""
    total = statement.opening + sum(line.amount for line in statement.lines)
    if total == statement.closing:
        return
    difference = asset.format(statement.closing - total)
    detail = (
        f"statement {statement.number}: {asset.format(statement.opening)} and its lines make"
        f" {asset.format(total)}, its closing balance is {asset.format(statement.closing)}:"
        f" {difference} {asset.symbol} are not explained"
    )
    extra = {"difference": difference, "statement": statement.number}
    raise Invalid(detail, code="statement_does_not_add_up", extra=extra)


def keys(lines: Sequence[Line]) -> list[str]:
    """What a line is known by wherever it comes again: all that the bank says of it, and its
    count among those of one statement that say the same. Banks' own references alone do not do:
    some give one to several bookings, some give none."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for line in lines:
        said = _SEPARATOR.join(
            (line.booked_on.isoformat(), str(line.amount), line.reference, line.text)
        )
        found.append(_digest(said, str(seen[said])))
        seen[said] += 1
    return found


def digest(statement: Statement) -> str:
    """The same for the same statement, whatever file it lay in."""
    return _digest(
        statement.number,
        statement.opened_on.isoformat(),
        statement.closed_on.isoformat(),
        str(statement.opening),
        str(statement.closing),
        *sorted(keys(statement.lines)),
    )


def amount_of(asset: Asset, text: str, where: str) -> int:
    """`-12.50` -> -1250. Raises Invalid naming the place."""
    sign = -1 if text.startswith("-") else 1
    try:
        units = asset.parse(text.removeprefix("-").removeprefix("+"))
    except InvalidAmount as error:
        raise unreadable(f"{where}: {error.detail}") from None
    if units > LARGEST:
        raise unreadable(f"{where}: {text[:80]} is more than an account holds")
    return sign * units


def unreadable(detail: str) -> Invalid:
    return Invalid.of("content", detail, code="unreadable_statement")


def _digest(*said: str) -> str:
    joined = _SEPARATOR.join(said).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()
