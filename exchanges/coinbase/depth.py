"""One product's book, kept from level2: a snapshot, then new quantities by price."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import UnreadableAnswer
from exchanges.book_side import BookSide
from exchanges.coinbase import reading
from exchanges.coinbase.markets import microseconds
from exchanges.types import Book, Level

_SIDES = {"bid": 0, "offer": 1}
DEPTH = 500


class Depth:
    """Without a snapshot it has no book, and news are not for it."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._sides: tuple[BookSide, BookSide] | None = None
        self._sequence = 0

    def forget(self) -> None:
        """A gap: what is here is not to be trusted until the next snapshot."""
        self._sides = None

    def take(self, event: Mapping[str, Any], told_at: datetime, at: datetime) -> Book | None:
        """The book after a level2 event; None while there is no snapshot. Sequences are the
        venue's time in microseconds, growing by one at least: numbers of a connection begin anew
        with the next one."""
        kind = reading.text(event, "type")
        if kind == "snapshot":
            self._sides = (BookSide(), BookSide())
        elif kind != "update":
            raise UnreadableAnswer("neither a snapshot nor an update")
        if self._sides is None:
            return None
        for change in reading.listed(event, "updates"):
            side = _SIDES.get(reading.text(change, "side"))
            if side is None:
                raise UnreadableAnswer("a level is neither bid nor offer")
            price = reading.positive(change, "price_level")
            self._sides[side].put(Level(price, reading.amount(change, "new_quantity")))
        self._sequence = max(self._sequence + 1, microseconds(told_at))
        bids, asks = self._sides
        return Book(
            symbol=self.symbol,
            bids=bids.highest(DEPTH),
            asks=asks.lowest(DEPTH),
            sequence=self._sequence,
            at=at,
        )
