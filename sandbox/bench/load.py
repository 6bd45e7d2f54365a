"""A cheap HTTP/1.1 client that keeps N connections busy; a process of its own.

Reads a JSON plan from stdin, writes what it saw to stdout. It parses no more than status and
length, so that one core of it outruns any server measured here (`bezant bench` says by how much).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from sandbox.bench import loops

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One client: asks, waits for the whole answer, asks again."""

    def __init__(self, ask: Callable[[], bytes | None], seen: list[float]) -> None:
        self._ask = ask
        self._seen = seen
        self._buffer = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport
        self.bad: list[str] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(LENGTH) + len(LENGTH)
        size = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + len(HEAD_END) + size:
            return
        if head[9:10] != b"2":
            self.bad.append(self._buffer[:600].decode(errors="replace"))
        self._buffer = b""
        self._seen.append(time.perf_counter() - self._asked_at)
        self._next()

    def _next(self) -> None:
        request = self._ask()
        if request is None:
            self._transport.close()
            return
        self._asked_at = time.perf_counter()
        self._transport.write(request)

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.bad.append(repr(error))
        if not self.done.done():
            self.done.set_result(None)


def requests(plan: dict[str, Any]) -> Callable[[], bytes]:
    """The next request: paths and tokens in turn; `once` gives each an Idempotency-Key."""
    numbers = itertools.count()
    body: bytes = plan.get("body", "").encode()
    paths = itertools.cycle(plan["paths"])
    tokens = itertools.cycle(plan.get("tokens") or [""])

    def build() -> bytes:
        token = next(tokens)
        lines = [f"{plan['method']} {next(paths)} HTTP/1.1", f"Host: {plan['host']}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if once := plan.get("once"):
            lines.append(f"Idempotency-Key: {once}-{next(numbers)}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(lines).encode() + HEAD_END + body

    return build


async def drive(plan: dict[str, Any]) -> dict[str, Any]:
    """Runs the plan: a warm-up that is not counted, then `seconds`."""
    build = requests(plan)
    loop = asyncio.get_running_loop()

    async def phase(seconds: float) -> tuple[list[float], list[str], float]:
        seen: list[float] = []
        started = time.perf_counter()

        def ask() -> bytes | None:
            return build() if time.perf_counter() - started < seconds else None

        pairs = await asyncio.gather(
            *(
                loop.create_connection(lambda: Connection(ask, seen), plan["host"], plan["port"])
                for _ in range(plan["clients"])
            )
        )
        clients = [protocol for _, protocol in pairs]
        await asyncio.gather(*(client.done for client in clients))
        return seen, [b for client in clients for b in client.bad], time.perf_counter() - started

    _, bad, _ = await phase(plan["warm_up"])
    seen, more, took = await phase(plan["seconds"])
    return {"seconds": took, "latencies": seen, "bad": (bad + more)[:3]}


if __name__ == "__main__":
    json.dump(loops.run(drive(json.load(sys.stdin))), sys.stdout)
