"""How a simulated venue leaves a request without its answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from aiohttp import web

_LOOK_SECONDS = 0.05


async def silence(request: web.Request, closing: asyncio.Event) -> None:
    """Until the client gives up or the server stops; the connection is gone then. aiohttp does not
    tell a handler that its client is gone, so it looks."""
    while request.transport is not None and not request.transport.is_closing():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), _LOOK_SECONDS)
            if request.transport is not None:  # gone meanwhile
                request.transport.abort()
            return


def reset(request: web.Request) -> None:
    """Cuts the connection by RST, as a machine that died would, without a goodbye of TLS: what is
    answered then is not sent."""
    transport = request.transport
    if transport is None:
        return
    endpoint = transport.get_extra_info("socket")
    if endpoint is not None:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def truncated(done: web.Response) -> web.Response:
    """Half of what was to be said."""
    body = done.body
    assert isinstance(body, bytes)  # noqa: S101  (the servers answer nothing else)
    headers = {"Content-Type": done.headers["Content-Type"]}
    return web.Response(status=done.status, body=body[: len(body) // 2], headers=headers)
