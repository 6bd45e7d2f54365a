"""Fields of Coinbase's JSON. What is not there or not of its kind is an UnreadableAnswer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.errors import UnreadableAnswer
from exchanges import numbers
from exchanges.types import Side


def text(entry: Mapping[str, Any], key: str) -> str:
    """A string that is not empty."""
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise UnreadableAnswer(f"{key} is missing")
    return value


def words(entry: Mapping[str, Any], key: str) -> str:
    """A string, empty when there is none."""
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def amount(entry: Mapping[str, Any], key: str) -> int:
    """A decimal string -> units of 10**-18."""
    return numbers.parse(entry.get(key))


def amount_or_zero(entry: Mapping[str, Any], key: str) -> int:
    """Coinbase writes an empty string where there is nothing to count yet."""
    value = entry.get(key)
    return 0 if value is None or value == "" else numbers.parse(value)


def positive(entry: Mapping[str, Any], key: str) -> int:
    """A decimal string above zero."""
    value = amount(entry, key)
    if value <= 0:
        raise UnreadableAnswer(f"{key} is not above zero")
    return value


def moment(entry: Mapping[str, Any], key: str) -> datetime:
    """RFC 3339 -> UTC; what is finer than microseconds is cut off."""
    try:
        read = datetime.fromisoformat(text(entry, key))
    except ValueError:
        raise UnreadableAnswer(f"{key} is no time") from None
    if read.tzinfo is None:
        raise UnreadableAnswer(f"{key} names no time zone")
    return read.astimezone(UTC)


def inner(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object."""
    value = entry.get(key)
    if not isinstance(value, dict):
        raise UnreadableAnswer(f"{key} is no object")
    return value


def listed(entry: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects."""
    value = entry.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnreadableAnswer(f"{key} is no list of objects")
    return value


def side(entry: Mapping[str, Any]) -> Side:
    try:
        return Side(text(entry, "side").lower())
    except ValueError:
        raise UnreadableAnswer("side is neither BUY nor SELL") from None


def rfc3339(at: datetime) -> str:
    """UTC -> 2026-04-07T14:30:00.123456Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
