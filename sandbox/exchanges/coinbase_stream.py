"""Coinbase's stream: who may connect, and how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from aiohttp import web

from sandbox.exchanges import coinbase_answers as answers
from sandbox.exchanges.coinbase_connection import DROPS, Connection
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.faults import Fault, Operation

GOODBYE_SECONDS = 0.2  # for the client to say it as well


class Streams:
    """All connections. `closing` ends them; `expired`: ids of orders that a fault ended."""

    def __init__(
        self, simulator: Simulator, closing: asyncio.Event, expired: Collection[int]
    ) -> None:
        self._simulator = simulator
        self._closing = closing
        self._expired = expired

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return answers.error(404, "NOT_FOUND", "route not found")
        fault = self._simulator.faults.take(Operation.STREAM)
        if fault in (Fault.BANNED, Fault.FORBIDDEN):
            return answers.forbidden()
        if fault is Fault.RATE_LIMITED:
            return answers.too_many(request.path, html=True)
        if fault in DROPS:
            return answers.gateway_timeout()
        socket = web.WebSocketResponse(timeout=GOODBYE_SECONDS, max_msg_size=1 << 16)
        await socket.prepare(request)
        connection = Connection(self._simulator, request, socket, fault, self._expired)
        with self._simulator.subscribe() as queue:
            tasks = [
                asyncio.create_task(work)
                for work in (
                    connection.listen(),
                    connection.tell(queue),
                    connection.beat(),
                    connection.expect_subscription(),
                    self._closing.wait(),
                )
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await socket.close()
        return socket
