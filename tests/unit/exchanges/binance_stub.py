"""A server that says what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from exchanges.binance.adapter import Binance
from exchanges.binance.client import Client

KEY = "canary-api-key-" + "k" * 49
SECRET = "canary-secret-" + "s" * 50
NETWORKS = {"eip155:1": "ETH"}
RECORDED = Path(__file__).parent / "recorded/binance"


def recorded(name: str) -> Any:
    """An answer as it is documented."""
    return json.loads((RECORDED / f"{name}.json").read_text())


@dataclass(frozen=True)
class Asked:
    """One request, as it came over the wire."""

    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]


@dataclass
class Stub:
    """`answers` by path: a status, a text and headers; JSON or text with status 200; or a list of
    those, the last of which stays."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        path, _, query = request.raw_path.partition("?")
        self.asked.append(Asked(request.method, path, query, body, dict(request.headers)))
        answer = self.answers.get(path)
        if path == "/api/v3/time" and answer is None:
            answer = {"serverTime": int(time.time() * 1000)}
        if isinstance(answer, list) and answer and isinstance(answer[0], tuple):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if not isinstance(answer, tuple):
            answer = (200, answer, {})
        status, content, headers = answer
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(
            status=status, text=text, headers={"Content-Type": "application/json", **headers}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def adapter(self, secret: str = SECRET, timeout: float = 5) -> Binance:
        return Binance(
            key=KEY,
            secret=secret,
            url=self.url,
            ws_api_url=f"ws://127.0.0.1:{self.port}/ws-api/v3",
            stream_url=f"ws://127.0.0.1:{self.port}",
            networks=NETWORKS,
            timeout=timeout,
        )

    @asynccontextmanager
    async def client(self, secret: str = SECRET) -> AsyncIterator[Client]:
        client = Client(
            key=KEY,
            secret=secret,
            url=self.url,
            ws_api_url=f"ws://127.0.0.1:{self.port}/ws-api/v3",
            timeout_seconds=5,
        )
        try:
            yield client
        finally:
            await client.close_connection()


@asynccontextmanager
async def stub(**answers: Any) -> AsyncIterator[Stub]:
    """On a port of its own. Names of `answers` are paths with `__` for `/`."""
    told = Stub({"/" + name.replace("__", "/"): answer for name, answer in answers.items()})
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", told.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.port = runner.addresses[0][1]
    try:
        yield told
    finally:
        await runner.cleanup()
