"""A market's book kept by the public stream: a snapshot, then changes without a gap.

The procedure is the venue's own (web-socket-streams.md, "How to manage a local order book
correctly"). Pure: no clock, no connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from exchanges.binance.markets import parse_levels
from exchanges.book_side import BookSide
from exchanges.types import Book

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
        self._bids = BookSide()
        self._asks = BookSide()
        self._lowest: int | None = None
        self._highest: int | None = None
        self._last = 0
        self._held: list[Mapping[str, Any]] | None = []

    def begin(self, snapshot: Mapping[str, Any]) -> None:
        """An answer of `depth`. Raises Gap when it is older than what was
        held: take another."""
        held, self._held = self._held or [], None
        self._last = int(snapshot["lastUpdateId"])
        self._put(snapshot["bids"], snapshot["asks"])
        # beyond a full snapshot nothing is known until it changes: such levels are left out
        if len(self._bids) >= self._full:
            self._lowest = self._bids.lowest(1)[0].price
        if len(self._asks) >= self._full:
            self._highest = self._asks.highest(1)[0].price
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
        self._put(event["b"], event["a"])
        return True

    def _put(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> None:
        for level in parse_levels(bids):
            if self._lowest is None or level.price >= self._lowest:
                self._bids.put(level)
        for level in parse_levels(asks):
            if self._highest is None or level.price <= self._highest:
                self._asks.put(level)

    @property
    def wears_thin(self) -> bool:
        """The market went so far that less than half of a full snapshot is left on a side."""
        return (self._lowest is not None and len(self._bids) < self._full // 2) or (
            self._highest is not None and len(self._asks) < self._full // 2
        )

    def book(self, depth: int, at: datetime) -> Book:
        return Book(
            symbol=self.symbol,
            bids=self._bids.highest(depth),
            asks=self._asks.lowest(depth),
            sequence=self._last,
            at=at,
        )
