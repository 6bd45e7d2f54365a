"""A node's endpoint with switchable faults: an HTTP server between a client and a real node.

    async with FaultProxy(anvil_url) as proxy:
        proxy.refuse(-32005, "limit exceeded", method="eth_getLogs", times=3)
        proxy.hang(method="debug_traceBlockByHash", times=1)
        proxy.freeze(17)          # `latest` stays at 17 until thaw()
        ...                       # the client speaks to proxy.url
        proxy.count("eth_getLogs")

A fault meets the first calls that match it, `times` times (None: until clear()). Inside a JSON
batch each call is looked at by itself; a fault of HTTP meets the whole request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

Edit = Callable[[Any], Any]


@dataclass
class Fault:
    """One switched fault; `met` counts the calls it met."""

    method: str | None
    times: int | None
    when: Callable[[list[Any]], bool]
    error: dict[str, Any] | None = None
    edit: Edit | None = None
    status: int | None = None
    hangs: bool = False
    met: int = 0

    def meets(self, call: dict[str, Any]) -> bool:
        if self.times is not None and self.met >= self.times:
            return False
        if self.method not in (None, call["method"]) or not self.when(call["params"]):
            return False
        self.met += 1
        return True


class FaultProxy:
    """Speaks JSON-RPC over HTTP at `url`, asks `upstream`, and spoils what it is told to spoil."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.calls: list[tuple[str, list[Any]]] = []
        self.requests = 0
        self._faults: list[Fault] = []
        self._frozen: int | None = None
        self._over = asyncio.Event()

    async def __aenter__(self) -> FaultProxy:
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/{secret:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        # a path as providers have it: it must never be seen in a log
        self.url = f"http://127.0.0.1:{self.port}/v3/secret-key"
        self.name = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._runner.cleanup()
        await self._session.close()

    def refuse(self, code: int, message: str = "", **options: Any) -> Fault:
        """A JSON-RPC error."""
        return self._add(error={"code": code, "message": message}, **options)

    def http(self, status: int, **options: Any) -> Fault:
        """An HTTP status with an HTML body."""
        return self._add(status=status, **options)

    def hang(self, **options: Any) -> Fault:
        """No answer at all, until the proxy ends."""
        return self._add(hangs=True, **options)

    def edit(self, edit: Edit, **options: Any) -> Fault:
        """The real result, changed: `edit(result) -> result`."""
        return self._add(edit=edit, **options)

    def empty(self, **options: Any) -> Fault:
        """An empty list: what a node says that has not indexed its logs yet."""
        return self.edit(lambda _: [], **options)

    def null(self, **options: Any) -> Fault:
        return self.edit(lambda _: None, **options)

    def wrong_hash(self, **options: Any) -> Fault:
        """Blocks under a hash that no one else has."""

        def edit(result: Any) -> Any:
            return result and {**result, "hash": "0x" + "ab" * 32}

        return self.edit(edit, **{"method": "eth_getBlockByNumber", **options})

    def freeze(self, height: int) -> None:
        """`latest`, `safe` and `finalized` at most this height: a node that stopped importing."""
        self._frozen = height

    def thaw(self) -> None:
        self._frozen = None

    def clear(self) -> None:
        """Ends all faults and forgets the calls."""
        self._faults.clear()
        self.calls.clear()
        self.thaw()

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.calls if name == method)

    def _add(
        self,
        *,
        method: str | None = None,
        times: int | None = 1,
        when: Callable[[list[Any]], bool] = lambda _: True,
        **what: Any,
    ) -> Fault:
        fault = Fault(method, times, when, **what)
        self._faults.append(fault)
        return fault

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = msgspec.json.decode(await request.read())
        calls = body if isinstance(body, list) else [body]
        self.calls += [(call["method"], call["params"]) for call in calls]
        met = [next((f for f in self._faults if f.meets(call)), None) for call in calls]
        for fault in met:
            if fault is not None and fault.hangs:
                await self._over.wait()
            if fault is not None and fault.status is not None:
                return web.Response(status=fault.status, text="<html>no</html>")
        answers = await self._ask([self._held_back(call) for call in calls])
        for answer, fault in zip(answers, met, strict=True):
            if fault is not None and fault.error is not None:
                answer.pop("result", None)
                answer["error"] = fault.error
            elif fault is not None and fault.edit is not None and "result" in answer:
                answer["result"] = fault.edit(answer["result"])
        out = msgspec.json.encode(answers if isinstance(body, list) else answers[0])
        return web.Response(body=out, content_type="application/json")

    def _held_back(self, call: dict[str, Any]) -> dict[str, Any]:
        params = call["params"]
        if self._frozen is None or call["method"] != "eth_getBlockByNumber":
            return call
        if params[0] == "latest" or (
            params[0] not in ("safe", "finalized") and int(params[0], 16) > self._frozen
        ):
            asked = hex(self._frozen) if params[0] == "latest" else "0xfffffffffff"
            return {**call, "params": [asked, *params[1:]]}
        return call

    async def _ask(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with self._session.post(self.upstream, json=calls) as response:
            answers: list[dict[str, Any]] = msgspec.json.decode(await response.read())
        by_id = {answer["id"]: answer for answer in answers}
        return [by_id[call["id"]] for call in calls]
