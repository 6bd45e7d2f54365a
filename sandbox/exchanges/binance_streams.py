"""Binance's market streams: /ws/<stream> and /stream?streams=<a>/<b> (web-socket-streams.md)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import msgspec
from aiohttp import web

from sandbox.exchanges import binance_events as events
from sandbox.exchanges import binance_shapes as shapes
from sandbox.exchanges.binance_desk import Desk
from sandbox.exchanges.binance_session import Session, refused_handshake, stream_fault
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.faults import Fault
from sandbox.exchanges.types import SimBookChange

_NAME = re.compile(
    r"(?P<symbol>[a-z0-9]+)@(?:(?P<ticker>bookTicker)|depth(?P<levels>5|10|20)?(?P<fast>@100ms)?)",
    re.ASCII,
)
_METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class Feed:
    """One stream of one connection. `interval`: seconds between its events at least."""

    def __init__(self, desk: Desk, name: str, match: re.Match[str], symbol: str) -> None:
        self.name = name
        self.symbol = symbol
        self._desk = desk
        self._ticker = match["ticker"] is not None
        self._levels = int(match["levels"]) if match["levels"] else None
        self._interval = 0.0 if self._ticker else 0.1 if match["fast"] else 1.0
        self._changes: list[SimBookChange] = []
        self._best: tuple[Any, ...] | None = None
        self.due = 0.0

    @property
    def waits(self) -> bool:
        """Whether it has something to say once it is due; books in part are said each time."""
        return bool(self._changes) or self._levels is not None

    def take(self, change: SimBookChange) -> None:
        if change.symbol == self.symbol:
            self._changes.append(change)

    def event(self, now: float) -> Any:
        """What it says now, None for nothing."""
        self.due = now + self._interval
        changes, self._changes = self._changes, []
        if self._levels is not None:
            return shapes.book(self._desk.simulator.book(self.symbol, self._levels))
        if not self._ticker:
            return events.depth_update(events.together(changes), now_ms())
        book = self._desk.simulator.book(self.symbol, 1)
        best = (book.bids, book.asks)
        if best == self._best:
            return None
        self._best = best
        return events.ticker(self.symbol, book)


class MarketSession(Session):
    """Public: anybody, up to 1024 streams."""

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        names: list[str],
        *,
        combined: bool,
        pending: Fault | None,
    ) -> None:
        super().__init__(desk, request, pending)
        self._combined = combined
        self._feeds: dict[str, Feed | None] = {}
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        """A stream that does not exist is taken and stays silent, as at the venue."""
        match = _NAME.fullmatch(name)
        rules = self.desk.markets.get(match["symbol"].upper()) if match else None
        self._feeds[name] = None
        if match is not None and rules is not None:
            self._feeds[name] = Feed(self.desk, name, match, rules.symbol)

    def shutdown_event(self) -> Any:
        event = {"e": "serverShutdown", "E": now_ms()}
        return {"stream": "!serverShutdown", "data": event} if self._combined else event

    async def pump(self) -> None:
        with self.desk.simulator.subscribe() as queue:
            while True:
                await self._flush()
                try:
                    first = await asyncio.wait_for(queue.get(), self._patience())
                except TimeoutError:
                    continue
                for event in [first, *(queue.get_nowait() for _ in range(queue.qsize()))]:
                    if isinstance(event.payload, SimBookChange):
                        for feed in self._live():
                            feed.take(event.payload)

    def _live(self) -> list[Feed]:
        return [feed for feed in self._feeds.values() if feed is not None]

    def _patience(self) -> float | None:
        """Seconds until a stream that has something to say may say it."""
        due = [feed.due for feed in self._live() if feed.waits]
        return max(0.001, min(due) - time.monotonic()) if due else 1.0

    async def _flush(self) -> None:
        now = time.monotonic()
        said = []
        for feed in self._live():
            if feed.waits and feed.due <= now:
                event = feed.event(now)
                if event is not None:
                    said.append({"stream": feed.name, "data": event} if self._combined else event)
        await self.tell(said)

    async def received(self, text: str) -> None:
        try:
            request = msgspec.json.decode(text)
        except msgspec.DecodeError:
            await self.send({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"})
            return
        await self.send(self._answered(request))

    def _answered(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or "method" not in request:
            return {"code": 2, "msg": "Invalid request: missing field `method` at line 1 column 1"}
        method, names = request["method"], request.get("params") or []
        if not isinstance(names, list):
            return {"code": 2, "msg": "Invalid request: params must be a list"}
        result: Any = None
        match method:
            case "SUBSCRIBE":
                for name in names:
                    self._add(str(name))
            case "UNSUBSCRIBE":
                for name in names:
                    self._feeds.pop(str(name), None)
            case "LIST_SUBSCRIPTIONS":
                result = list(self._feeds)
            case "SET_PROPERTY":
                self._combined = names == ["combined", True]
            case "GET_PROPERTY":
                result = self._combined
            case _:
                words = f"unknown variant `{method}`, expected one of {_METHODS}"
                return {"code": 2, "msg": f"Invalid request: {words}"}
        return {"result": result, "id": request.get("id")}


async def open_stream(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Raw at /ws/, combined at /stream."""
    combined = request.path.startswith("/stream")
    named = request.query.get("streams", "") if combined else request.match_info.get("names", "")
    fault = stream_fault(desk)
    if fault is not None:
        refused = await refused_handshake(desk, request, fault)
        if refused is not None:
            return refused
    names = [name for name in named.split("/") if name]
    return await MarketSession(desk, request, names, combined=combined, pending=fault).run()
