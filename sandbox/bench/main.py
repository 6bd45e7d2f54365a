"""`bezant bench`: how fast, as ratios to a floor taken in turns with it in the same run."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import structlog
from rich.console import Console
from rich.table import Table

from core import memory
from core.clock import show, wall
from core.db import plain_url
from core.errors import BezantError, Misconfigured
from sandbox.bench import (
    catch_up,
    conversions,
    delivery,
    http,
    journal,
    quotes,
    reconciliation,
    resources,
    watched,
)
from sandbox.bench.house import House, open_house
from sandbox.bench.result import Row

Measure = Callable[[House], Awaitable[list[Row]]]

# In this order: the last one looks at what all the others left behind.
MEASURES: dict[str, Measure] = {
    "create": http.create,
    "read": http.read,
    "delivery": delivery.measure,
    "catchup": catch_up.measure,
    "watched": watched.measure,
    "journal": journal.measure,
    "quotes": quotes.measure,
    "conversions": conversions.measure,
    "reconciliation": reconciliation.measure,
    "resources": resources.measure,
}


def run(names: Sequence[str], *, quick: bool, output: Path) -> int:
    """Runs these measures (none named: all), shows the table and writes `output`.

    Returns 1 when a measure did not run to its end, 0 otherwise, also when an aim is missed: the
    table says so. Raises Misconfigured for an unknown measure, BezantError without a sandbox.
    """
    for name in names:
        if name not in MEASURES:
            raise Misconfigured(f"{name!r} is no measure: {', '.join(MEASURES)} are allowed")
    chosen = [name for name in MEASURES if not names or name in names]
    # The chain loop runs in this process too, and tells of each block.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="bezant-bench-", ignore_cleanup_errors=True) as place:
        directory = Path(place)
        directory.chmod(0o755)  # PostgreSQL runs as a user of its own when we are root
        memory.tune()  # as the worker does
        report = asyncio.run(_measure(chosen, quick, directory, console))
    output.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"[dim]{output}")
    return int(any(measure["failure"] for measure in report["measures"].values()))


async def _measure(
    names: Sequence[str], quick: bool, directory: Path, console: Console
) -> dict[str, Any]:
    report: dict[str, Any] = {"started_at": show(wall()), "quick": quick, "measures": {}}
    rows: list[Row] = []

    def tell(text: str) -> None:
        console.print(f"[dim]{text}")

    async with open_house(directory, quick, tell) as house:
        report["machine"] = await _machine(house)
        for name in names:
            tell(f"measuring: {name}")
            before, started = os.getloadavg(), time.monotonic()
            failure: str | None = None
            found: list[Row] = []
            try:
                found = await MEASURES[name](house)
            except (BezantError, psycopg.Error) as error:  # what the others found is not lost
                failure = f"{type(error).__name__}: {error}"
                tell(f"{name} failed: {failure}")
            rows += found
            report["measures"][name] = {
                "seconds": round(time.monotonic() - started, 1),
                "load_average_before": before,
                "load_average_after": os.getloadavg(),
                "failure": failure,
                "rows": [row.as_json() for row in found],
            }
    console.print(table(rows))
    return report


async def _machine(house: House) -> dict[str, Any]:
    async with await psycopg.AsyncConnection.connect(plain_url(house.database_url)) as connection:
        cursor = await connection.execute("show server_version")
        version = await cursor.fetchone()
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": version and version[0],
    }


def table(rows: Sequence[Row]) -> Table:
    """For people."""
    shown = Table("what", title="bezant bench", title_justify="left")
    for name in ("ours", "floor", "ratio", "aim", "met", "Bitcart 0.10.3"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            row.what,
            figure(row.ours, row.unit),
            "" if row.floor is None else figure(row.floor, row.unit),
            "" if row.ratio is None else ratio(row),
            "" if row.aim is None else row.aim.show(row.unit),
            {None: "", True: "[green]yes", False: "[red]no"}[row.met],
            row.peer,
        )
    return shown


def ratio(row: Row) -> str:
    """A rate as a share of the floor, a time or a cost as a multiple of it."""
    assert row.ratio is not None  # noqa: S101  (the caller looked)
    return f"{row.ratio:.0%}" if row.unit.endswith("/s") else f"{row.ratio:.2f}x"


def figure(value: float, unit: str) -> str:
    places = 0 if value >= 100 else 1 if value >= 10 else 2
    text = f"{value:,.{places}f}"
    return f"{text}/s" if unit == "1/s" else f"{text} {unit}"
