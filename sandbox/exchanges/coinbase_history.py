"""Orders and fills of Coinbase Advanced Trade as they can be asked for: newest first, by pages.

`order_ids` of List Fills goes with no other filter (hummingbot #7220), OPEN of List Orders with no
other status.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from aiohttp import web

from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges.coinbase_answers import invalid, not_found, say
from sandbox.exchanges.coinbase_gate import API, VIEW, Call, Endpoint
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.types import SimFill, SimOrder

Row = TypeVar("Row", SimOrder, SimFill)
ORDERS_PER_PAGE, MOST_ORDERS = 100, 1000
FILLS_PER_PAGE, MOST_FILLS = 100, 1000
_STATUSES = frozenset(
    {"PENDING", "OPEN", "FILLED", "CANCELLED", "EXPIRED", "FAILED", "QUEUED", "CANCEL_QUEUED"}
)
_NO_ORDER = "order with this orderID was not found"


class History:
    """`expired`: ids of the orders that a fault ended."""

    def __init__(self, simulator: Simulator, expired: Collection[int]) -> None:
        self._simulator = simulator
        self._expired = expired

    def endpoints(self) -> list[Endpoint]:
        past = f"{API}/orders/historical"
        return [
            Endpoint("GET", f"{past}/batch", Operation.ORDER, VIEW, self.orders),
            Endpoint("GET", f"{past}/fills", Operation.FILLS, VIEW, self.fills),
            Endpoint("GET", f"{past}/{{id}}", Operation.ORDER, VIEW, self.order),
        ]

    def order(self, call: Call) -> web.Response:
        number = shapes.order_number(call.request.match_info["id"])
        order = None if number is None else self._simulator.order(order_id=number)
        if order is None or call.fault is Fault.NOT_FOUND_LAG:
            raise not_found(_NO_ORDER)
        if self._simulator.faults.hidden(order.client_id):
            raise not_found(_NO_ORDER)
        return say({"order": self._shaped([order])[0]})

    def orders(self, call: Call) -> web.Response:
        """Newest first, a page at a time."""
        wanted = self._order_filter(call)
        hidden = self._hidden(call)
        since = _moment(call, "start_date")
        found = [
            order
            for order in reversed(self._simulator.orders(since_ms=since))
            if wanted(order) and order.client_id not in hidden
        ]
        page, cursor = _page(call, found, (ORDERS_PER_PAGE, MOST_ORDERS))
        return say(
            {
                "orders": self._shaped(page),
                "sequence": "0",
                "has_next": bool(cursor),
                "cursor": cursor,
            }
        )

    def fills(self, call: Call) -> web.Response:
        """Newest first, a page at a time."""
        ids = call.values("order_ids")
        products, trades = call.values("product_ids"), call.values("trade_ids")
        since = _moment(call, "start_sequence_timestamp")
        until = _moment(call, "end_sequence_timestamp")
        if ids and (products or trades or since is not None or until is not None):
            raise invalid("cannot pass order_ids with other filters")
        numbers = {shapes.order_number(id_) for id_ in ids}
        hiding = self._simulator.faults.hiding
        found = [
            fill
            for fill in self._fills_of(numbers, since)
            if fill.client_id not in hiding
            and (not products or fill.symbol in products)
            and (not trades or shapes.fill_shape(fill)["trade_id"] in trades)
            and (until is None or fill.at < until)
        ]
        if call.fault is Fault.NOT_FOUND_LAG:
            found = []
        page, cursor = _page(call, found, (FILLS_PER_PAGE, MOST_FILLS))
        return say({"fills": [shapes.fill_shape(fill) for fill in page], "cursor": cursor})

    def _fills_of(self, numbers: set[int | None], since: int | None) -> list[SimFill]:
        if not numbers:
            return self._simulator.fills(since_ms=since)[::-1]
        known = [number for number in numbers if number is not None]
        found = [fill for number in known for fill in self._simulator.fills(order_id=number)]
        return sorted(found, key=lambda fill: -fill.id)

    def _order_filter(self, call: Call) -> Callable[[SimOrder], bool]:
        statuses = set(call.values("order_status"))
        if statuses - _STATUSES:
            bad = sorted(statuses - _STATUSES)[0]
            raise invalid(f'parsing list "order_status": "{bad}" is not a valid value')
        if "OPEN" in statuses and len(statuses) > 1:
            raise invalid("OPEN order_status cannot be combined with other statuses")
        ids, products = set(call.values("order_ids")), set(call.values("product_ids"))
        side, until = call.value("order_side"), _moment(call, "end_date")

        def wanted(order: SimOrder) -> bool:
            return (
                (not statuses or shapes.status(order, self._expired) in statuses)
                and (not ids or shapes.order_uuid(order.id) in ids)
                and (not products or order.symbol in products)
                and (side is None or order.side.upper() == side)
                and (until is None or order.created_at < until)
            )

        return wanted

    def _hidden(self, call: Call) -> frozenset[str]:
        """Client ids that this list leaves out: each list counts once for each of them, and a
        fault of its own leaves out the newest."""
        hidden = self._simulator.faults.hidden_ids()
        if call.fault is not Fault.NOT_FOUND_LAG:
            return hidden
        newest = self._simulator.orders()[-1:]
        return hidden | {order.client_id for order in newest}

    def _shaped(self, orders: Sequence[SimOrder]) -> list[dict[str, Any]]:
        fills = self._simulator.fills
        return [shapes.order_shape(o, fills(order_id=o.id), self._expired) for o in orders]


def _moment(call: Call, name: str) -> int | None:
    text = call.value(name)
    return None if text is None else shapes.read_moment(text, name)


def _page(
    call: Call, newest_first: Sequence[Row], sizes: tuple[int, int]
) -> tuple[Sequence[Row], str]:
    """The page that was asked for, and where the next one begins (nothing: that was all). `sizes`:
    as many by default, at most as many."""
    cursor = call.value("cursor")
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit():
            raise invalid("invalid cursor")
        newest_first = [row for row in newest_first if row.id < int(cursor)]
    limit = call.limit(*sizes)
    page = newest_first[:limit]
    return page, str(page[-1].id) if len(newest_first) > limit else ""
