"""The outermost layer of every request: its id, its body's size, its measure, its failures."""

from __future__ import annotations

import os
import time

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, limits
from core import metrics
from core.errors import Refused

_ID_LENGTH = 128


class Edge:
    """Pure ASGI: a few microseconds for a request that has nothing wrong with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        started = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(b"x-request-id", state["request_id"].encode())]
                if "allowance" in state:
                    added += limits.headers(state["allowance"])
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await self._serve(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the outermost step of a request
            response = errors.failure(Request(scope), error)
            if status == 0:
                await response(scope, receive, answer)
        finally:
            metrics.observe_request(
                scope["method"], _template(scope), status, time.perf_counter() - started
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if limits.has_body(scope):
                body = await limits.read_body(receive)
                limits.check_body(body)
                scope["state"]["body"] = body
                receive = limits.replay(body, receive)
            limits.check_address(scope)
        except Refused as refused:
            await errors.refusal(Request(scope), refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-Id if it is 1-128 printable ASCII characters, else a new one."""
    for name, value in scope["headers"]:
        if (
            name == b"x-request-id"
            and 1 <= len(value) <= _ID_LENGTH
            and all(32 <= byte <= 126 for byte in value)
        ):
            return str(value, "ascii")
    return "req_" + os.urandom(12).hex()


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names: as many labels as there are routes."""
    return getattr(scope.get("route"), "path", "unmatched")
