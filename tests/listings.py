"""Markets and books as tests write them."""

from __future__ import annotations

from typing import Any

from core.clock import wall
from exchanges.numbers import ONE, parse
from exchanges.types import Book, Level, Market


def market(symbol: str, *, fee: str = "0.001", **changes: Any) -> Market:
    """ETH-EUR and the like: ticks of 0.01, steps of 0.0001, orders from 5 of the quote."""
    base, _, quote = symbol.partition("-")
    rules: dict[str, Any] = {
        "tick": parse("0.01"),
        "step": parse("0.0001"),
        "min_quantity": parse("0.0001"),
        "max_quantity": None,
        "min_notional": 5 * ONE,
        "max_notional": None,
        "taker_fee": parse(fee),
        "trading": True,
    }
    return Market(symbol=symbol, native=base + quote, base=base, quote=quote, **rules | changes)


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(parse(price), parse(quantity)) for price, quantity in pairs)


def book(symbol: str, bids: tuple[Level, ...], asks: tuple[Level, ...], sequence: int = 1) -> Book:
    return Book(symbol=symbol, bids=bids, asks=asks, sequence=sequence, at=wall())
