"""Binance's WebSocket API (/ws-api/v3), as far as it carries the user data stream: subscription by
signature (listenKey is gone since 2026-02-20), executionReport, outboundAccountPosition,
balanceUpdate."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges import binance_events as events
from sandbox.exchanges import binance_faults as faults
from sandbox.exchanges import binance_security as security
from sandbox.exchanges.binance_desk import Desk
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.binance_parameters import Parameters
from sandbox.exchanges.binance_session import Session, stream_fault
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import SimBalanceChange, SimEvent, SimFill, SimOrder

_CONNECTION_WEIGHT = 2
_SUBSCRIPTION = frozenset({"apiKey", "timestamp", "recvWindow", "signature"})
_GONE = frozenset({"userDataStream.start", "userDataStream.ping", "userDataStream.stop"})


def _text(value: Any) -> str:
    """A parameter as it is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class PrivateSession(Session):
    """Our account's news, once subscribed."""

    def __init__(self, desk: Desk, request: web.Request) -> None:
        super().__init__(desk, request)
        self._subscription: int | None = None
        self._next = 0
        self._totals: dict[str, int] = {}
        self._queue: asyncio.Queue[SimEvent] | None = None
        self._hides_limits = request.query.get("returnRateLimits") == "false"
        self._methods: dict[str, tuple[int, Callable[[dict[str, Any]], Any]]] = {
            "ping": (1, lambda _: {}),
            "time": (1, lambda _: {"serverTime": now_ms()}),
            "session.subscriptions": (2, self._subscriptions),
            "userDataStream.subscribe.signature": (2, self._subscribe),
            "userDataStream.unsubscribe": (2, self._unsubscribe),
        }

    async def received(self, text: str) -> None:
        request: Any = None
        ended = self._subscription
        try:
            request = msgspec.json.decode(text)
            answer: dict[str, Any] = {"status": 200, "result": self._do(request)}
        except msgspec.DecodeError:
            answer = _refusal(Problem(-1135, "Invalid JSON Request"))
        except Problem as problem:
            answer = _refusal(problem)
        identity = request.get("id") if isinstance(request, dict) else None
        limits = {} if self._hides_limits else {"rateLimits": self.desk.limits.state()}
        await self.send({"id": identity, **answer, **limits})
        if ended is not None and self._subscription is None:
            event = {"e": "eventStreamTerminated", "E": now_ms()}
            await self.send({"subscriptionId": ended, "event": event})

    def _do(self, request: Any) -> Any:
        if not isinstance(request, dict):
            raise Problem(-1135, "Invalid JSON Request")
        method = str(request.get("method", "")).removeprefix("v3/")
        parameters = request.get("params") or {}
        if not isinstance(parameters, dict):
            raise Problem(-1135, "JSON sent for parameter 'params' is not valid")
        if method in _GONE:
            raise Problem(-1016, "This service is no longer available.", status=HTTPStatus.GONE)
        if method not in self._methods:
            raise Problem(-1020, "This operation is not supported.")
        weight, do = self._methods[method]
        self.desk.limits.spend(weight)
        return do(parameters)

    def _subscriptions(self, _parameters: dict[str, Any]) -> list[dict[str, int]]:
        return [] if self._subscription is None else [{"subscriptionId": self._subscription}]

    def _subscribe(self, parameters: dict[str, Any]) -> dict[str, int]:
        sent = {name: _text(value) for name, value in parameters.items()}
        fault = stream_fault(self.desk)
        problem = None if fault is None else faults.before(fault)
        if problem is not None:
            raise problem
        self.pending = fault
        if "apiKey" not in sent:
            raise errors.missing("apiKey")
        credential = security.known(self.desk.simulator.credentials, sent["apiKey"])
        if not sent.get("signature"):
            raise errors.missing("signature")
        security.check_fresh(sent.get("timestamp"), sent.get("recvWindow"))
        payload = security.socket_payload(sent)
        security.check_signature(credential, payload, sent["signature"])
        Parameters(sent).check_known(_SUBSCRIPTION)
        if self._subscription is not None:
            raise Problem(-2035, "User Data Stream subscription already active.")
        self._begin()
        return {"subscriptionId": self._next - 1}

    def _begin(self) -> None:
        """From now on: what happened before is not told."""
        while self._queue is not None and not self._queue.empty():
            self._queue.get_nowait()
        self._totals = _totals(self.desk)
        self._subscription = self._next
        self._next += 1

    def _unsubscribe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        wanted = parameters.get("subscriptionId")
        if self._subscription is None or wanted not in (None, self._subscription):
            raise Problem(-2036, "User Data Stream subscription not active.")
        self._subscription = None
        return {}

    async def pump(self) -> None:
        with self.desk.simulator.subscribe() as queue:
            self._queue = queue
            while True:
                first = await queue.get()
                batch = [first, *(queue.get_nowait() for _ in range(queue.qsize()))]
                if self._subscription is not None:
                    told = self._told(batch)
                    await self.tell(
                        [{"subscriptionId": self._subscription, "event": one} for one in told]
                    )

    def _told(self, batch: Sequence[SimEvent]) -> list[dict[str, Any]]:
        """What the batch is to Binance: balances that changed together are one event, and what no
        execution explains is a deposit or a withdrawal."""
        told: list[dict[str, Any]] = []
        changes: dict[str, SimBalanceChange] = {}
        explained: dict[str, int] = defaultdict(int)
        for event in batch:
            payload = event.payload
            if isinstance(payload, SimBalanceChange):
                changes[payload.asset] = payload
            elif isinstance(payload, SimFill) and event.order is not None:
                told.append(events.execution(event.order, payload, event.at))
                for asset, delta in _moved(payload).items():
                    explained[asset] += delta
            elif isinstance(payload, SimOrder):
                cancel_id = self.desk.cancel_ids.get(payload.id, "")
                told.append(events.execution(payload, None, event.at, cancel_id))
        if changes:
            at = batch[-1].at
            told.append(events.position(changes.values(), at))
            told.extend(self._transfers(changes, explained, at))
        return told

    def _transfers(
        self, changes: dict[str, SimBalanceChange], explained: dict[str, int], at: int
    ) -> list[dict[str, Any]]:
        told = []
        for asset, change in changes.items():
            total = change.free + change.locked
            delta = total - self._totals.get(asset, 0) - explained[asset]
            self._totals[asset] = total
            if delta:
                told.append(events.balance_update(asset, delta, at))
        return told


def _moved(fill: SimFill) -> dict[str, int]:
    """What an execution did to the account, by asset."""
    base, _, quote = fill.symbol.partition("-")
    sign = 1 if fill.side == "buy" else -1
    moved = {base: sign * fill.quantity, quote: -sign * fill.quote_quantity}
    moved[fill.fee_asset] = moved.get(fill.fee_asset, 0) - fill.fee
    return moved


def _totals(desk: Desk) -> dict[str, int]:
    return {a: b.free + b.locked for a, b in desk.simulator.balances().items()}


def _refusal(problem: Problem) -> dict[str, Any]:
    error: dict[str, Any] = problem.body()
    wait = problem.headers.get("Retry-After")
    if wait is not None:
        now = now_ms()
        error["data"] = {"serverTime": now, "retryAfter": now + int(wait) * 1000}
    return {"status": problem.status, "error": error}


async def open_private(desk: Desk, request: web.Request) -> web.StreamResponse:
    try:
        desk.limits.spend(_CONNECTION_WEIGHT)
    except Problem as problem:
        return faults.refused(problem, {})
    return await PrivateSession(desk, request).run()
