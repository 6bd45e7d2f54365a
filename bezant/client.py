"""Commands that speak to a running service, by default the sandbox of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bezant.places import sandbox_dir
from core.errors import Misconfigured
from sandbox import ready
from sandbox.shop import Shop, enter


@dataclass(frozen=True, slots=True)
class Service:
    """Where it is and how we may ask. `sandbox` is its ready-file's content, if it is one."""

    url: str
    key: str
    sandbox: dict[str, Any] | None = None

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Shop]:
        async with enter(self.url, self.key) as shop:
            yield shop


def find(url: str | None, api_key: str | None, data_dir: Path | None) -> Service:
    """As said, else what the running sandbox says. Raises Misconfigured."""
    if url is not None:
        if api_key is None:
            raise Misconfigured("--api-key is missing: a key of the service at --url is allowed")
        return Service(url, api_key)
    directory = sandbox_dir(data_dir)
    found = ready.read(directory)
    if found is None:
        raise Misconfigured(
            f"no sandbox runs in {directory}: start one with bezant sandbox, or give --url and"
            " --api-key"
        )
    return Service(found["api_url"], api_key or found["api_key"], found)
