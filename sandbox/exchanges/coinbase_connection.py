"""One client of Coinbase's stream (`advanced-trade-ws`): level2, heartbeats and user.

Source: docs.cdp.coinbase.com, "WebSocket Channels". One `sequence_num` counts all the messages of a
connection; level2 is announced as `l2_data`, a snapshot and then new quantities by price.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from exchanges.numbers import show
from sandbox.exchanges import coinbase_answers as answers
from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges.coinbase_market_data import WHOLE_BOOK
from sandbox.exchanges.coinbase_tokens import BadToken, verify
from sandbox.exchanges.endings import reset
from sandbox.exchanges.engine import Simulator, now_ms
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.types import OrderStatus, SimBookChange, SimEvent, SimFill, SimOrder

FIRST_SUBSCRIPTION_SECONDS = 5
HEARTBEAT_SECONDS = 1
LEVEL2, HEARTBEATS, USER = "level2", "heartbeats", "user"
_BEGINNING = "1970-01-01T00:00:00Z"
_STRANGERS = frozenset({Fault.BAD_SIGNATURE, Fault.CLOCK_SKEW, Fault.UNAUTHORIZED_FLAP})
DROPS = frozenset(
    {
        Fault.TIMEOUT_AFTER_EXECUTION,
        Fault.TIMEOUT_BEFORE_EXECUTION,
        Fault.SERVER_ERROR_AFTER_EXECUTION,
        Fault.SERVER_ERROR_BEFORE_EXECUTION,
        Fault.RATE_LIMITED,
        Fault.BANNED,
        Fault.FORBIDDEN,
    }
)


class Connection:
    """One client's. Each of the coroutines ends when the connection is to end."""

    def __init__(
        self,
        simulator: Simulator,
        request: web.Request,
        socket: web.WebSocketResponse,
        fault: Fault | None,
        expired: Collection[int],
    ) -> None:
        self._simulator = simulator
        self._request = request
        self._socket = socket
        self._fault = fault
        self._expired = expired
        self._sequence = 0
        self._silent = fault is Fault.HANG
        self._subscribed = asyncio.Event()
        self._beats = 0
        self._begun = time.monotonic()
        self._channels: dict[str, dict[str, None]] = {}
        self._books: dict[str, int] = {}
        self._last: str | None = None

    # -- what comes in

    async def listen(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                return
            try:
                asked = json.loads(message.data)
            except ValueError:
                asked = None
            if not isinstance(asked, dict):
                await self._error("invalid message")
                continue
            await self._answer(asked)

    async def expect_subscription(self) -> None:
        """A connection without a subscription is closed after five seconds."""
        try:
            await asyncio.wait_for(self._subscribed.wait(), FIRST_SUBSCRIPTION_SECONDS)
        except TimeoutError:
            return
        await asyncio.Event().wait()

    async def _answer(self, asked: dict[str, Any]) -> None:
        kind, channel = asked.get("type"), asked.get("channel")
        products = asked.get("product_ids") or []
        if kind not in ("subscribe", "unsubscribe") or channel not in (LEVEL2, HEARTBEATS, USER):
            await self._error("invalid subscription")
            return
        unknown = [p for p in products if p not in self._simulator.markets]
        if unknown or (channel == LEVEL2 and not products):
            await self._error(f"{unknown[0] if unknown else ''} is not a valid product")
            return
        if not self._known(asked.get("jwt"), needed=channel == USER):
            await self._error("authentication failure")
            return
        if kind == "unsubscribe":
            self._unsubscribe(channel, products)
        else:
            self._subscribed.set()
            self._channels.setdefault(channel, {}).update(dict.fromkeys(products))
            if channel == LEVEL2:
                for symbol in products:
                    await self._book(symbol)
            elif channel == USER:
                await self._orders()
        await self._say("subscriptions", [{"subscriptions": self._subscriptions()}])

    def _known(self, token: Any, *, needed: bool) -> bool:
        """A token is not needed for public channels, but where one comes it must be right."""
        if self._fault in _STRANGERS:
            self._fault = None
            return False
        if token is None:
            return not needed
        try:
            verify(str(token), self._simulator.credentials, uri=None, now=time.time())
        except BadToken:
            return False
        return True

    def _unsubscribe(self, channel: str, products: list[str]) -> None:
        left = self._channels.get(channel, {})
        for symbol in products or list(left):
            left.pop(symbol, None)
        if not left:
            self._channels.pop(channel, None)

    def _subscriptions(self) -> dict[str, list[str]]:
        return {name: list(products) for name, products in self._channels.items()}

    # -- what goes out

    async def tell(self, queue: asyncio.Queue[SimEvent]) -> None:
        while True:
            event = await queue.get()
            payload = event.payload
            if isinstance(payload, SimBookChange):
                await self._changed(payload, event.at)
            elif isinstance(payload, SimFill) and event.order is not None:
                await self._moved(event.order)
            elif isinstance(payload, SimOrder):
                await self._moved(payload)

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if HEARTBEATS in self._channels:
                self._beats += 1
                now = datetime.now(UTC)
                uptime = f"{time.monotonic() - self._begun:.9f}"
                at = f"{now:%Y-%m-%d %H:%M:%S.%f}000 +0000 UTC m=+{uptime}"
                beat = {"current_time": at, "heartbeat_counter": self._beats}
                await self._say(HEARTBEATS, [beat])

    async def _book(self, symbol: str) -> None:
        book = self._simulator.book(symbol, WHOLE_BOOK)
        self._books[symbol] = book.sequence
        updates = _updates("bid", book.bids, _BEGINNING) + _updates("offer", book.asks, _BEGINNING)
        event = {"type": "snapshot", "product_id": symbol, "updates": updates}
        await self._say("l2_data", [event])

    async def _changed(self, change: SimBookChange, at: int) -> None:
        """Changes that the snapshot holds already are not told again."""
        symbol = change.symbol
        if symbol not in self._channels.get(LEVEL2, {}) or change.last <= self._books[symbol]:
            return
        self._books[symbol] = change.last
        when = shapes.moment(at)
        updates = _updates("bid", change.bids, when) + _updates("offer", change.asks, when)
        if updates:
            event = {"type": "update", "product_id": symbol, "updates": updates}
            await self._say_or_fail("l2_data", event)

    async def _orders(self) -> None:
        """The open ones, as they are."""
        orders = [o for o in self._simulator.orders() if o.status is OrderStatus.OPEN]
        event = {"type": "snapshot", "orders": [self._shape(order) for order in orders]}
        await self._say(USER, [event])

    async def _moved(self, order: SimOrder) -> None:
        wanted = self._channels.get(USER)
        if wanted is None or (wanted and order.symbol not in wanted):
            return
        await self._say_or_fail(USER, {"type": "update", "orders": [self._shape(order)]})

    def _shape(self, order: SimOrder) -> dict[str, Any]:
        fills = len(self._simulator.fills(order_id=order.id))
        return shapes.user_shape(order, fills, self._expired)

    async def _say_or_fail(self, channel: str, event: dict[str, Any]) -> None:
        """News, or what a fault makes of it."""
        fault = self._fault or self._simulator.faults.take(Operation.STREAM)
        self._fault = None
        before = self._last
        if fault is Fault.HANG:
            self._silent = True
        elif fault is Fault.RESET_AFTER_SEND:
            reset(self._request)
        elif fault in DROPS:
            await self._socket.close(code=1011)
        elif fault in _STRANGERS:  # a token that is refused from one moment to the next
            await self._error("authentication failure")
        elif fault is Fault.HTML_BODY:
            await self._send(answers.forbidden().text or "")
        elif fault is Fault.TRUNCATED_BODY:
            text = self._message(channel, [event])
            await self._send(text[: len(text) // 2])
        else:
            await self._say(channel, [event])
        if fault is Fault.DUPLICATED_EVENTS and self._last is not None:
            news = self._last
            for again in (before, news):
                if again is not None:
                    await self._send(again)

    async def _say(self, channel: str, events: list[dict[str, Any]]) -> None:
        text = self._message(channel, events)
        self._last = text
        await self._send(text)

    def _message(self, channel: str, events: list[dict[str, Any]]) -> str:
        message = {
            "channel": channel,
            "client_id": "",
            "timestamp": shapes.moment(now_ms()),
            "sequence_num": self._sequence,
            "events": events,
        }
        self._sequence += 1
        return json.dumps(message, separators=(",", ":"))

    async def _error(self, text: str) -> None:
        await self._send(json.dumps({"type": "error", "message": text}, separators=(",", ":")))

    async def _send(self, text: str) -> None:
        if self._silent or self._socket.closed:
            return
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(text)


def _updates(side: str, levels: tuple[tuple[int, int], ...], when: str) -> list[dict[str, str]]:
    return [
        {
            "side": side,
            "event_time": when,
            "price_level": show(price),
            "new_quantity": show(quantity),
        }
        for price, quantity in levels
    ]
