"""Frames on the signer's socket: length, MAC, JSON; both ends prove that they hold the same key.

Each end sends 32 random bytes; the session's key is made of both and of the shared key. A frame is
4 bytes of length (big endian, of what follows), 32 bytes of HMAC-SHA256 over direction, counter
and body, then the body. So nothing can be replayed, reordered or answered by somebody else.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from contextlib import suppress
from typing import Any

import msgspec

LARGEST = 4 * 1024 * 1024
_HELLO = 32
_MAC = 32
_PURPOSE = b"bezant signer, 1"


class Closed(Exception):
    """The other end is gone, or is not who it should be."""


class Channel:
    """One end of a connection; one frame each way at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_server: bool
    ) -> None:
        self._reader, self._writer = reader, writer
        self._sends, self._hears = (b"S", b"C") if is_server else (b"C", b"S")
        self._sent = self._heard = 0
        self._key = b""

    async def greet(self, key: bytes) -> None:
        """Must come first. Raises Closed."""
        mine = os.urandom(_HELLO)
        self._writer.write(mine)
        theirs = await self._exactly(_HELLO)
        pair = theirs + mine if self._sends == b"C" else mine + theirs
        self._key = hmac.digest(key, _PURPOSE + pair, "sha256")

    async def send(self, value: Any) -> None:
        """Raises Closed."""
        body = msgspec.json.encode(value)
        mac = self._mac(self._sends, self._sent, body)
        self._sent += 1
        self._writer.write((_MAC + len(body)).to_bytes(4, "big") + mac + body)
        try:
            await self._writer.drain()
        except OSError:
            raise Closed("gone") from None

    async def receive(self) -> Any:
        """Raises Closed, also when the frame is not the other end's next one."""
        length = int.from_bytes(await self._exactly(4), "big")
        if not _MAC <= length <= _MAC + LARGEST:
            raise Closed("a frame of a wrong length")
        frame = await self._exactly(length)
        mac, body = frame[:_MAC], frame[_MAC:]
        if not hmac.compare_digest(mac, self._mac(self._hears, self._heard, body)):
            raise Closed("a frame that was made without the key")
        self._heard += 1
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise Closed("a frame that is no JSON") from None

    def drop(self) -> None:
        """Without goodbye."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def _mac(self, direction: bytes, counter: int, body: bytes) -> bytes:
        return hmac.digest(self._key, direction + counter.to_bytes(8, "big") + body, "sha256")

    async def _exactly(self, length: int) -> bytes:
        try:
            return await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            raise Closed("gone") from None
