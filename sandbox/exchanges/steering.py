"""Asks the simulators' control endpoint from another process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.exchanges.told import SECRET_HEADER

DIRECTORY = "exchanges"  # in the data directory
CONTROL = Path(DIRECTORY) / "control.json"  # address and secret
ASK_SECONDS = 5


async def ask(
    file: Path, method: str, path: str, body: Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    """`file`: CONTROL in the data directory. Status, and what a 200 or 422 says. Raises aiohttp's
    ClientError or TimeoutError when nobody answers."""
    place = _read(file)
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
    headers = {SECRET_HEADER: place["secret"]}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.request(method, f"{place['url']}/{path}", json=body) as response,
    ):
        known = response.status in (200, 422)
        return response.status, await response.json() if known else None


def _read(file: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(file.read_text())
    return found
