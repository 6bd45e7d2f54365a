"""Orders: what is sent, what the answer proves, and how one is found again by our own id.

`success` alone proves nothing: it comes beside failure reasons (coinbase-advanced-py, issue 49), so
the order itself is read back and held against what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from core.errors import OrderRefused, OutcomeUnknown, UnreadableAnswer, VenueUnavailable
from exchanges import numbers
from exchanges.coinbase import reading
from exchanges.coinbase.answers import short, word
from exchanges.coinbase.pace import Lane
from exchanges.coinbase.rest import Params, Rest
from exchanges.types import LimitOrder, VenueOrder, VenueOrderStatus

ORDERS = "/api/v3/brokerage/orders"
HISTORICAL = "/api/v3/brokerage/orders/historical"
BATCH = f"{HISTORICAL}/batch"

_PAGE = 250
# The venue's clock may be behind ours: an order that it dates before our intent is still ours.
CLOCKS = timedelta(minutes=1)
# How far back an order is looked for that Coinbase calls a duplicate: it was meant minutes ago.
_DUPLICATES = timedelta(days=1)
_NAMELESS = ("", "unknown_failure_reason", "unknown_preview_failure_reason", "unknown")
_DUPLICATE = "duplicate_client_order_id"
_STATUS = {
    "PENDING": VenueOrderStatus.OPEN,
    "OPEN": VenueOrderStatus.OPEN,
    "QUEUED": VenueOrderStatus.OPEN,
    "CANCEL_QUEUED": VenueOrderStatus.OPEN,
    "EDIT_QUEUED": VenueOrderStatus.OPEN,
    "UNKNOWN_ORDER_STATUS": VenueOrderStatus.OPEN,
    "FILLED": VenueOrderStatus.FILLED,
    "CANCELLED": VenueOrderStatus.CANCELLED,
    "EXPIRED": VenueOrderStatus.CANCELLED,
    "FAILED": VenueOrderStatus.REFUSED,
}


async def place(rest: Rest, order: LimitOrder, at: datetime) -> VenueOrder:
    """Sends it once, as LIMIT immediate or cancel, and reads it back."""
    if not order.client_id:  # the SDK would make one up, which nobody could ask for again
        raise OrderRefused("no_client_id", "an order needs a client id of ours")
    answer = await rest.send(ORDERS, body(order), Lane.PRIVATE)
    try:
        venue_id = accepted(answer, order)
    except UnreadableAnswer as error:
        raise OutcomeUnknown(f"the answer to an order cannot be read: {error}") from error
    try:
        held = await _held(rest, order, venue_id, at)
    except (VenueUnavailable, OrderRefused) as error:
        if venue_id is None:
            raise OutcomeUnknown(f"Coinbase knows this id and shows no order: {error}") from error
        return _unseen(order, venue_id, at)
    if not same(held, order):
        raise OutcomeUnknown(f"Coinbase holds another order under {order.client_id}")
    return held


async def _held(rest: Rest, order: LimitOrder, venue_id: str | None, at: datetime) -> VenueOrder:
    if venue_id is not None:
        answer = await rest.get(f"{HISTORICAL}/{venue_id}")
        return read(reading.inner(answer, "order"))
    held = await find(rest, order.symbol, order.client_id, at - _DUPLICATES)
    if held is None:
        raise VenueUnavailable("none is listed yet")
    return held


async def find(rest: Rest, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
    """The order with our id, among all of the market's orders since then. Coinbase lists by no
    client id, and its lookup by one is deprecated."""
    if not client_id:
        raise ValueError("a client id is never empty")
    fields: Params = {
        "product_ids": [symbol],
        "start_date": reading.rfc3339(since - CLOCKS),
        "limit": _PAGE,
    }
    async for entry in rest.pages(BATCH, "orders", fields):
        if entry.get("client_order_id") == client_id:
            return read(entry)
    return None


def body(order: LimitOrder) -> dict[str, Any]:
    """The request. `sor_limit_ioc` is Coinbase's name of LIMIT, immediate or cancel."""
    return {
        "client_order_id": order.client_id,
        "product_id": order.symbol,
        "side": order.side.upper(),
        "order_configuration": {
            "sor_limit_ioc": {
                "base_size": numbers.show(order.quantity),
                "limit_price": numbers.show(order.price),
            }
        },
    }


def accepted(answer: Mapping[str, Any], order: LimitOrder) -> str | None:
    """The venue's id of the order; None when it says that it holds one with our id already.

    Raises OrderRefused for a refusal with a reason, OutcomeUnknown for one without, and for a
    success beside a failure.
    """
    reasons = _reasons(answer)
    named = next((word(r) for r in reasons if word(r) not in _NAMELESS), None)
    if named == _DUPLICATE:
        return None
    if answer.get("success") is True:
        if reasons:
            raise OutcomeUnknown(f"Coinbase says success and {short(reasons[0])}")
        given = reading.inner(answer, "success_response")
        if given.get("client_order_id", order.client_id) != order.client_id:
            raise OutcomeUnknown("Coinbase answers with an order that is not ours")
        return reading.text(given, "order_id")
    if answer.get("success") is False and named is not None:
        told = answer.get("error_response")
        detail = reading.words(told, "message") if isinstance(told, dict) else ""
        raise OrderRefused(named, short(detail or named))
    raise OutcomeUnknown("Coinbase neither took the order nor says why not")


def read(entry: Mapping[str, Any]) -> VenueOrder:
    """One order of `historical`. `filled_value` is in quote, before fees."""
    told = reading.text(entry, "status")
    status = _STATUS.get(told)
    if status is None:
        raise UnreadableAnswer(f"{short(told)} is no status that we know")
    filled = reading.amount_or_zero(entry, "filled_size")
    if status is VenueOrderStatus.REFUSED and filled > 0:
        status = VenueOrderStatus.CANCELLED
    terms = _terms(entry)
    return VenueOrder(
        venue_id=reading.text(entry, "order_id"),
        client_id=reading.words(entry, "client_order_id"),
        symbol=reading.text(entry, "product_id"),
        side=reading.side(entry),
        quantity=reading.amount_or_zero(terms, "base_size"),
        price=reading.amount_or_zero(terms, "limit_price"),
        filled=filled,
        quote_filled=reading.amount_or_zero(entry, "filled_value"),
        status=status,
        reason=None if status is VenueOrderStatus.OPEN else _ending(entry, told),
        at=reading.moment(entry, "created_time"),
    )


def same(held: VenueOrder, order: LimitOrder) -> bool:
    """Whether the venue holds what was meant: a resent id answers with its first order."""
    return (held.client_id, held.symbol, held.side, held.quantity, held.price) == (
        order.client_id,
        order.symbol,
        order.side,
        order.quantity,
        order.price,
    )


def _unseen(order: LimitOrder, venue_id: str, at: datetime) -> VenueOrder:
    """Taken, by the venue's own word, and not shown yet."""
    return VenueOrder(
        venue_id=venue_id,
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        filled=0,
        quote_filled=0,
        status=VenueOrderStatus.OPEN,
        reason=None,
        at=at,
    )


def _reasons(answer: Mapping[str, Any]) -> list[str]:
    """All reasons that an answer names, the most telling first."""
    told = answer.get("error_response")
    inside = told if isinstance(told, dict) else {}
    names = [
        inside.get("new_order_failure_reason"),
        inside.get("error"),
        inside.get("preview_failure_reason"),
        answer.get("failure_reason"),
    ]
    return [name for name in names if isinstance(name, str) and name]


def _terms(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Size and limit, under whatever name its kind of order has; other kinds are not ours."""
    kinds = entry.get("order_configuration")
    for terms in kinds.values() if isinstance(kinds, dict) else ():
        if isinstance(terms, dict):
            return terms
    return {}


def _ending(entry: Mapping[str, Any], status: str) -> str | None:
    if status == "FILLED":
        return None
    for key in ("reject_message", "cancel_message", "reject_reason"):
        told = reading.words(entry, key)
        if told and told != "REJECT_REASON_UNSPECIFIED":
            return short(told)
    return status.lower()
