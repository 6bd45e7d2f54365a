"""`bezant sandbox` in a terminal: what is happening, then where everything is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from rich.console import Console

from bezant.places import default_data_dir, sandbox_dir
from sandbox.state import APPROVER_KEY
from sandbox.supervisor import Options
from sandbox.supervisor import run as supervise


def run(
    port: int | None,
    data_dir: Path | None,
    networks: int | None,
    ready_file: Path | None,
    fresh: bool,
) -> None:
    """Runs until Ctrl-C or SIGTERM."""
    console = Console(highlight=False)
    options = Options(
        data_dir=sandbox_dir(data_dir),
        port=port,
        networks=networks,
        ready_file=ready_file.absolute() if ready_file else None,
        fresh=fresh,
    )

    async def ready(content: dict[str, Any]) -> bool:
        _show(console, content)
        return True

    asyncio.run(supervise(options, lambda text: console.print(f"[dim]{text}[/dim]"), ready))
    console.print("Stopped.")


def _show(console: Console, content: dict[str, Any]) -> None:
    rows = [
        ("API", content["api_url"]),
        ("docs", f"{content['api_url']}/docs"),
        ("API key", content["api_key"]),
        ("operator key", content["operator_key"]),
        ("approver key", f"{content['data_dir']}/{APPROVER_KEY}"),
        ("webhook secret", content["webhook_secret"]),
        *((network["network"], network["rpc_url"]) for network in content["networks"]),
        *((venue, place["url"]) for venue, place in content["exchanges"].items()),
        ("database", content["database_url"]),
    ]
    for name, value in rows:
        console.print(f"  [bold]{name:<15}[/bold] {value}", soft_wrap=True)
    console.print("Ready. Ctrl-C stops everything.")


def run_demo(once: bool, data_dir: Path | None) -> None:
    """The sandbox, then the story; without `once` the shop stays open until Ctrl-C."""
    from sandbox.demo import Demo

    console = Console(highlight=False)
    options = Options(data_dir=sandbox_dir(data_dir))
    usual = options.data_dir == default_data_dir() / "sandbox"
    untouched = once and not (options.data_dir / "postgres").exists()
    where = "" if usual else f" --data-dir {options.data_dir}"
    story = Demo(console, where, untouched=untouched)

    async def ready(content: dict[str, Any]) -> bool:
        await story.tell(content)
        if not once:
            await story.leave_open(content)
        return not once

    asyncio.run(supervise(options, story.note, ready))
