"""The signer's socket: who may speak, and what may be said."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import struct
from pathlib import Path
from typing import Any

import structlog

from core.clock import show
from core.errors import KeyUnavailable, Misconfigured, NeedsApproval, SignerRefused
from wallets.encoding import plain, read
from wallets.intents import Order, RouterQuote
from wallets.signer.channel import Channel, Closed
from wallets.signer.signing import Signing

log = structlog.get_logger()

MOST_CONNECTIONS = 64
GREETING_SECONDS = 2


class Server:
    """`key` is shared with API and worker (BEZANT_SERVICE_KEY)."""

    def __init__(self, signing: Signing, key: bytes) -> None:
        self._signing, self._key = signing, key
        self._open = 0

    async def run(self, path: Path, group: int | None, stopped: asyncio.Event) -> None:
        """Listens at `path` until `stopped`. With a `group` its members reach the socket."""
        listener = _listen(path, group)
        server = await asyncio.start_unix_server(self._connected, sock=listener)
        try:
            log.info("signer_ready", socket=str(path))
            await stopped.wait()
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer, is_server=True)
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                await self._converse(channel, _uid(writer))
        except (sqlite3.Error, OSError) as error:  # nothing was answered: it may be asked again
            log.error("signer_failed", error=type(error).__name__)
        finally:
            self._open -= 1
            await channel.close()

    async def _converse(self, channel: Channel, uid: int) -> None:
        allowed = self._signing.peers() or {os.geteuid()}
        if uid not in allowed:
            self._signing.refuse_peer(uid, "its user is not in the policy")
            return
        heard = False
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await channel.greet(self._key)
                request = await channel.receive()
            heard = True
            while True:
                await channel.send(await self._answer(request))
                request = await channel.receive()
        except TimeoutError:
            return
        except Closed as closed:
            if not heard or str(closed) != "gone":
                self._signing.refuse_peer(uid, str(closed))

    async def _answer(self, request: Any) -> dict[str, Any]:
        try:
            return {"done": await self._do(request)}
        except SignerRefused as refused:
            return {"refused": {"code": refused.code, "detail": refused.detail}}
        except NeedsApproval as needs:
            return {"approvals": {"needed": needs.needed, "given": needs.given}}
        except KeyUnavailable as away:
            return {"away": str(away)}

    async def _do(self, request: Any) -> Any:
        what = str(request.get("do")) if isinstance(request, dict) else ""
        signing = self._signing
        try:
            match request:
                case {"do": "sign", "order": order}:
                    asked: Any = read(Order, order)
                case {"do": "check", "order": order}:
                    asked = read(Order, order)
                case {"do": "quote", "quote": quote}:
                    asked = read(RouterQuote, quote)
                case {"do": "broadcast", "order_id": str(order_id), "tx_hash": str(tx_hash)}:
                    asked = (order_id, tx_hash)
                case {"do": "wallets"}:
                    asked = None
                case _:
                    raise ValueError("sign, check, quote, broadcast or wallets is allowed")
        except ValueError as error:
            raise signing.refuse_request(what, str(error)) from None
        if what == "sign":
            return plain(await signing.sign(asked))
        if what == "check":
            verdict = signing.check(asked)
            return {
                "allowed": verdict.allowed,
                "needed": verdict.needed,
                "approvers": verdict.approvers,
                "code": verdict.code,
                "detail": verdict.detail,
            }
        if what == "quote":
            return await signing.quote(asked)
        if what == "broadcast":
            signing.broadcast(*asked)
            return None
        return [
            {
                "address": one.address,
                "label": one.label,
                "kind": one.kind,
                "created_at": show(one.created_at),
            }
            for one in signing.wallets()
        ]


def _listen(path: Path, group: int | None) -> socket.socket:
    """Takes the place of a socket that an earlier run left. Raises Misconfigured."""
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise Misconfigured(f"{path} cannot be listened on ({error.strerror})") from None
    finally:
        os.umask(before)
    return listener


def _uid(writer: asyncio.StreamWriter) -> int:
    """Of the process at the other end, as the kernel says (SO_PEERCRED)."""
    raw = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    uid: int = struct.unpack("3i", raw)[1]
    return uid
