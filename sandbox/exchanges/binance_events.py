"""Events of the user data stream and of the market streams, as Binance writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.exchanges.binance_shapes import ZERO, levels, native, number, status, why
from sandbox.exchanges.types import (
    OrderStatus,
    SimBalanceChange,
    SimBook,
    SimBookChange,
    SimFill,
    SimOrder,
)

_EXECUTIONS = {
    OrderStatus.OPEN: "NEW",
    OrderStatus.CANCELLED: "CANCELED",
    OrderStatus.EXPIRED: "EXPIRED",
    OrderStatus.FILLED: "TRADE",
}


def execution(
    order: SimOrder, fill: SimFill | None, at: int, cancel_id: str = ""
) -> dict[str, Any]:
    """executionReport: of a fill, or of an order that came or ended. Of a cancelled one `c` is the
    cancelling's own id, `C` the order's."""
    ended = order.status is not OrderStatus.OPEN
    cancelled = order.status is OrderStatus.CANCELLED
    reason = why(order)
    return {
        "e": "executionReport",
        "E": at,
        "s": native(order.symbol),
        "c": cancel_id if cancelled else order.client_id,
        "S": order.side.upper(),
        "o": order.type.upper(),
        "f": order.tif,
        "q": number(order.quantity),
        "p": number(order.price),
        "P": ZERO,
        "F": ZERO,
        "g": -1,
        "C": order.client_id if cancelled else "",
        "x": "TRADE" if fill else _EXECUTIONS[order.status],
        "X": status(order),
        "r": "NONE",
        "i": order.id,
        "l": number(fill.quantity) if fill else ZERO,
        "z": number(order.filled),
        "L": number(fill.price) if fill else ZERO,
        "n": number(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": fill.at if fill else order.updated_at,
        "t": fill.id if fill else -1,
        "I": 2 * fill.id + 1 if fill else 2 * order.id,
        "w": not ended,
        "m": fill.maker if fill else False,
        "M": False,
        "O": order.created_at,
        "Z": number(order.quote_filled),
        "Y": number(fill.quote_quantity) if fill else ZERO,
        "Q": ZERO,
        "W": order.created_at,
        "V": "EXPIRE_MAKER",
        **({"eR": reason} if reason else {}),
    }


def position(changes: Iterable[SimBalanceChange], at: int) -> dict[str, Any]:
    """outboundAccountPosition: the balances that an event may have changed."""
    return {
        "e": "outboundAccountPosition",
        "E": at,
        "u": at,
        "B": [{"a": c.asset, "f": number(c.free), "l": number(c.locked)} for c in changes],
    }


def balance_update(asset: str, delta: int, at: int) -> dict[str, Any]:
    """balanceUpdate: a deposit or a withdrawal."""
    return {"e": "balanceUpdate", "E": at, "a": asset, "d": number(delta), "T": at}


def depth_update(change: SimBookChange, at: int) -> dict[str, Any]:
    return {
        "e": "depthUpdate",
        "E": at,
        "s": native(change.symbol),
        "U": change.first,
        "u": change.last,
        "b": levels(change.bids),
        "a": levels(change.asks),
    }


def ticker(symbol: str, book: SimBook) -> dict[str, Any]:
    """bookTicker; an empty side is zero."""
    bid = book.bids[0] if book.bids else (0, 0)
    ask = book.asks[0] if book.asks else (0, 0)
    return {
        "u": book.sequence,
        "s": native(symbol),
        "b": number(bid[0]),
        "B": number(bid[1]),
        "a": number(ask[0]),
        "A": number(ask[1]),
    }


def together(changes: list[SimBookChange]) -> SimBookChange:
    """Changes of one symbol in a row as one: the newest quantity of each price."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for change in changes:
        bids.update(change.bids)
        asks.update(change.asks)
    return SimBookChange(
        symbol=changes[0].symbol,
        first=changes[0].first,
        last=changes[-1].last,
        bids=tuple(sorted(bids.items(), reverse=True)),
        asks=tuple(sorted(asks.items())),
    )
