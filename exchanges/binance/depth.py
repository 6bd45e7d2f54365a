"""A market's book kept by the public stream: a snapshot, then changes without a gap.

The procedure is the venue's own (web-socket-streams.md, "How to manage a local order book
correctly"). Pure: no clock, no connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from exchanges.numbers import parse
from exchanges.types import Book, Level

SNAPSHOT = 1000
"""Levels a side asked for at the beginning."""


class Gap(Exception):
    """A change is missing: the book is worth nothing any more."""


class Depth:
    """Until `begin` it only holds the changes that come. A snapshot with `full` levels on a side
    may have more."""

    def __init__(self, symbol: str, full: int = SNAPSHOT) -> None:
        self.symbol = symbol
        self._full = full
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._lowest: int | None = None
        self._highest: int | None = None
        self._last = 0
        self._held: list[Mapping[str, Any]] | None = []

    def begin(self, snapshot: Mapping[str, Any]) -> None:
        """An answer of `depth`. Raises Gap when it is older than what was
        held: take another."""
        held, self._held = self._held or [], None
        self._last = int(snapshot["lastUpdateId"])
        self._bids = _levels(snapshot["bids"])
        self._asks = _levels(snapshot["asks"])
        # beyond a full snapshot nothing is known until it changes: such levels are left out
        self._lowest = min(self._bids) if len(self._bids) >= self._full else None
        self._highest = max(self._asks) if len(self._asks) >= self._full else None
        for event in held:
            self.apply(event)

    def apply(self, event: Mapping[str, Any]) -> bool:
        """A `depthUpdate`; whether the book changed. Raises Gap."""
        if self._held is not None:
            self._held.append(event)
            return False
        if int(event["u"]) <= self._last:
            return False
        if int(event["U"]) > self._last + 1:
            raise Gap
        self._last = int(event["u"])
        for price, quantity in _levels(event["b"]).items():
            if self._lowest is None or price >= self._lowest:
                _set(self._bids, price, quantity)
        for price, quantity in _levels(event["a"]).items():
            if self._highest is None or price <= self._highest:
                _set(self._asks, price, quantity)
        return True

    @property
    def wears_thin(self) -> bool:
        """The market went so far that less than half of a full snapshot is left on a side."""
        return (self._lowest is not None and len(self._bids) < self._full // 2) or (
            self._highest is not None and len(self._asks) < self._full // 2
        )

    def book(self, depth: int, at: datetime) -> Book:
        bids = sorted(self._bids.items(), reverse=True)[:depth]
        asks = sorted(self._asks.items())[:depth]
        return Book(
            symbol=self.symbol,
            bids=tuple(Level(price, quantity) for price, quantity in bids),
            asks=tuple(Level(price, quantity) for price, quantity in asks),
            sequence=self._last,
            at=at,
        )


def _levels(raw: Sequence[Sequence[str]]) -> dict[int, int]:
    return {parse(level[0]): parse(level[1]) for level in raw}


def _set(side: dict[int, int], price: int, quantity: int) -> None:
    if quantity:
        side[price] = quantity
    else:
        side.pop(price, None)
