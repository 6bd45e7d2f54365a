"""The ready-file (API 3): how to reach a running sandbox, for people's tools and tests."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import aiohttp

from sandbox import state

NAME = "ready.json"
ASK_SECONDS = 5


def write(found: dict[str, Any], directory: Path, file: Path | None) -> None:
    """The data directory's own copy (commands find a sandbox by it), then the one asked for."""
    state.write(directory / NAME, found)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        state.write(file, found)


def forget(directory: Path, file: Path | None) -> None:
    """A file that is there means a sandbox that is ready."""
    (directory / NAME).unlink(missing_ok=True)
    if file is not None:
        file.unlink(missing_ok=True)


def read(directory: Path) -> dict[str, Any] | None:
    """What runs in this data directory, if its supervisor lives."""
    try:
        found: dict[str, Any] = json.loads((directory / NAME).read_text())
        os.kill(found["pids"]["sandbox"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return found


async def answers(api_url: str) -> bool:
    """Whether the API's process serves requests."""
    return await _ask(f"{api_url}/healthz") == (200, "")


async def problem(api_url: str) -> str | None:
    """None once money can be taken, else what is amiss."""
    status, text = await _ask(f"{api_url}/readyz")
    return None if status == 200 else text


async def unheard(socket: Path) -> str | None:
    """None once somebody listens at a Unix socket."""
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError as error:
        return f"{socket.name}: {error.strerror}"
    writer.close()
    return None


async def _ask(url: str) -> tuple[int, str]:
    try:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, "" if response.status == 200 else await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return 0, type(error).__name__
