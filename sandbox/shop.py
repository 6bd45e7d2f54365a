"""A merchant's own code: the public API over HTTP with a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from core import ids
from core.errors import Refused, Unavailable

TIMEOUT_SECONDS = 60


class Shop:
    """A key at a running API."""

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self.session = session
        self.headers = {"Authorization": f"Bearer {key}"}

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer's JSON. Raises Refused for a refusal, Unavailable when nobody answers."""
        once = {"Idempotency-Key": ids.new().hex} if method == "POST" else {}
        try:
            async with self.session.request(
                method, f"{self.url}{path}", json=body, headers={**self.headers, **once}
            ) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{self.url} does not answer ({type(error).__name__})") from error
        if response.status >= 400:
            detail = str(answer.get("detail", response.status))
            raise Refused(detail, code=answer.get("code"), extra={"status": response.status})
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        return await self.ask("GET", f"/v1{path}")

    async def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.ask("POST", f"/v1{path}", body or {})


@asynccontextmanager
async def enter(url: str, key: str) -> AsyncIterator[Shop]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Shop(url, key, session)
