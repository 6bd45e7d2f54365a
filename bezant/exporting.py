"""`bezant export`: the books to take away, straight from the database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bezant.settings import Settings

FILE = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(file_okay=False, path_type=Path)

LOOK_SECONDS = 0.1
SETTLED_SECONDS = 30  # by then the worker has numbered every entry, if there is one


class Time(click.ParamType[datetime]):
    """RFC 3339 with an offset."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-01-31T09:30:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no offset: write 2026-01-31T09:30:00Z", param, ctx)
        return found.astimezone(UTC)


@click.command("export")
@click.argument("kind", type=click.Choice(["journal", "gains", "lots"]))
@click.option(
    "--format", "form", type=click.Choice(["csv", "beancount"]), default="csv", show_default=True
)
@click.option("--method", type=click.Choice(["fifo", "average"]), help="Of gains and lots (fifo).")
@click.option("--since", type=Time(), help="From this moment on (the beginning).")
@click.option("--until", type=Time(), help="Before this moment (now).")
@click.option("--output", type=FILE, help="Instead of standard output; whole or not at all.")
@click.option("--config", type=FILE, help="bezant.toml (else BEZANT_CONFIG, else ./bezant.toml).")
@click.option("--data-dir", type=DIRECTORY, help="Of the running sandbox whose books it is.")
def export(
    kind: str,
    form: str,
    method: str | None,
    since: datetime | None,
    until: datetime | None,
    output: Path | None,
    config: Path | None,
    data_dir: Path | None,
) -> None:
    """KIND is the journal, what was gained by conversions, or the lots that are held.

    Without --config: the running sandbox's.
    """
    from bezant.administration import installation

    settings = installation(config, data_dir)
    if output is None:
        write = sys.stdout.buffer.write
        asyncio.run(_write(settings, kind, form, method, since, until, write))
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            asyncio.run(_write(settings, kind, form, method, since, until, file.write))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


async def _write(
    settings: Settings,
    kind: str,
    form: str,
    method: str | None,
    since: datetime | None,
    until: datetime | None,
    write: Callable[[bytes], object],
) -> None:
    """Raises Invalid for what cannot be exported, Conflict while the worker is behind."""
    from bezant.bootstrap import open_context
    from core.ids import read
    from treasury import exports
    from treasury.export_period import Format, What
    from treasury.lots import Method

    async with open_context(settings, listen=False) as context:
        async with context.database.begin() as session:
            made = await exports.create(
                session,
                context,
                what=What(kind),
                format=Format(form),
                method=Method(method) if method else None,
                since=since,
                until=until,
                created_by="command line",
            )
        number = read("exp", made["id"])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLED_SECONDS
        while made["status"] == "pending" and loop.time() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            async with context.database.begin() as session:
                made = await exports.show(session, context, number)
        async with context.database.begin() as session:
            _, _, data = await exports.file(session, context, number)
        async for some in data:
            write(some)
