"""How much one visitor's address may ask of the public pages."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

STREAMS = 30  # open event streams of one address: an office, not a flood


class Streams:
    """Counts the open event streams of each address, in this process."""

    def __init__(self, limit: int = STREAMS) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    def has_room(self, visitor: str) -> bool:
        return self._open[visitor] < self._limit

    @contextmanager
    def one(self, visitor: str) -> Iterator[None]:
        """An open stream while it lasts."""
        self._open[visitor] += 1
        try:
            yield
        finally:
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]


def visitor_of(request: Request) -> str:
    """The visitor's address; of IPv6 the /64, since that is what one household holds.

    Behind a proxy it is the server's business (uvicorn's `--forwarded-allow-ips`) to put the
    visitor's address where the proxy's was.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
