"""How the demo is told: chapters, sentences, and time to read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.rule import Rule

from core.errors import Unavailable
from sandbox.shop import Shop

PACE_SECONDS = 0.8  # between two things to read
PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.05


class Teller:
    """Speaks on a console, slowly where somebody reads."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._interactive = console.is_terminal

    def note(self, text: str) -> None:
        self.console.print(f"[dim]  {text}[/dim]")

    def chapter(self, number: str, title: str) -> None:
        self.console.print(Rule(f"[bold]{number}  {title}", align="left", style="cyan"))

    def say(self, text: str) -> None:
        self.console.print(f"  {text}", soft_wrap=True)

    async def pause(self, beats: int = 1) -> None:
        if self._interactive:
            await asyncio.sleep(beats * PACE_SECONDS)

    async def until(
        self, shop: Shop, path: str, true: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Until what is at `path` is so. Raises Unavailable when it stays as it is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while not true(found := await shop.get(path)):
            if loop.time() > deadline:
                raise Unavailable(f"{found['id']} stays {found['status']}")
            await asyncio.sleep(LOOK_SECONDS)
        return found
