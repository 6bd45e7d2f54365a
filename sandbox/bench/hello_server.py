"""Answers every request at once with 200 and nothing: shows how fast the load client itself is.

`python -m sandbox.bench.hello_server <fd>`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

from sandbox.bench import loops

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Hello(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


async def serve(fd: int) -> None:
    server = await asyncio.get_running_loop().create_server(Hello, sock=socket.socket(fileno=fd))
    await server.serve_forever()


if __name__ == "__main__":
    loops.run(serve(int(sys.argv[1])))
