"""The connection of a webhook: to an address that was judged, and to no other.

The resolver judges what it resolves and hands on just that, so check and connection use one
answer and a name that rebinds gains nothing. TLS and the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from webhooks.urls import SANDBOX_HOSTS, is_public

Lookup = Callable[[str], Awaitable[Sequence[str]]]

# Lookups hang as long as a dead name server likes, and asyncio's own pool has a handful of
# threads: one dead name would hold up every other endpoint.
LOOKUP_THREADS = 64


class NotPublic(OSError):
    """The name leads to an address that a webhook must not reach."""


class SystemLookup:
    """The operating system's resolver in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="webhook-dns")

    async def __call__(self, host: str) -> Sequence[str]:
        """All addresses of a name; raises socket.gaierror."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Refuses a name as soon as one of its addresses is not public."""

    def __init__(self, lookup: Lookup, *, sandbox: bool) -> None:
        self._lookup = lookup
        self._sandbox = sandbox

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises NotPublic, or OSError when there is no such name."""
        if self._sandbox and host in SANDBOX_HOSTS:
            addresses: Sequence[str] = ("127.0.0.1", "::1")
        else:
            addresses = await self._lookup(host)
            if not addresses or not all(map(is_public, addresses)):
                raise NotPublic(f"{host} does not lead to a public address")
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing is held here: the lookup belongs to who made it."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def client(lookup: Lookup, *, sandbox: bool, timeout: float) -> aiohttp.ClientSession:
    """An HTTP client without proxies, cookies and cached names. Literal addresses skip the resolver
    (aiohttp connects to them at once): `webhooks.urls.check` judges those before each send.

    Idle connections are kept for a second only: long enough for a burst, shorter than any
    server's own patience, so that no POST meets a connection that is just being closed.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=GuardedResolver(lookup, sandbox=sandbox),
            use_dns_cache=False,
            limit=0,
            keepalive_timeout=1,
        ),
        timeout=aiohttp.ClientTimeout(total=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
