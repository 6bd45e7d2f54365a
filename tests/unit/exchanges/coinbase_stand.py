"""A TLS server that answers as it is told, for what a simulated venue would never say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from exchanges.coinbase.adapter import Coinbase
from sandbox.exchanges import certificates

KEY = "organizations/c4na-ry/apiKeys/k3y-c4na-ry"
NETWORK = "eip155:1"


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


SECRET = pem(ec.generate_private_key(ec.SECP256R1()))


Told = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Stand:
    """`answers` are given in turn, the last one for ever; a function answers by itself,
    None never. `said` is what
    its stream says, `asked` what the stream is asked."""

    host: str
    ca_file: Path
    answers: list[web.Response | Told | None] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def exchange(self, *, secret: str = SECRET, timeout: float = 5, **more: Any) -> Coinbase:
        settings: dict[str, Any] = {
            "key": KEY,
            "secret": secret,
            "url": f"https://{self.host}",
            "stream_url": f"wss://{self.host}/stream",
            "ca_file": self.ca_file,
            "networks": {NETWORK: "ethereum"},
            "timeout": timeout,
        }
        return Coinbase(**{**settings, **more})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/stream":
            return await self._stream(request)
        self.seen.append(request)
        self.bodies.append(await request.read())
        told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if told is None:
            await self.closing.wait()
            told = web.Response(status=500)
        if not isinstance(told, web.Response):
            return await told(request)
        return web.Response(status=told.status, headers=told.headers, body=told.body)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        """Everything in `said` at once, then silence until the client goes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for text in self.said:
            await socket.send_str(text)
        async for message in socket:
            self.asked.put_nowait(str(message.data))
        return socket


@asynccontextmanager
async def stand(directory: Path) -> AsyncIterator[Stand]:
    kept = certificates.ensure(directory)
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=1)
    here = Stand("", kept.ca_file)
    app.router.add_route("*", "/{rest:.*}", here.answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=kept.server_context()).start()
    here.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield here
    finally:
        here.closing.set()
        await runner.cleanup()


def plain(text: str, status: int = 200, **headers: str) -> web.Response:
    named: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(text=text, status=status, headers=named)
