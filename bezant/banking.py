"""Commands about the house's bank accounts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bezant.settings import Settings

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(file_okay=False, path_type=Path)
LARGEST = 64 * 2**20  # bytes; a statement of a year is smaller
BY = "command line"


@click.group()
def statement() -> None:
    """What banks say of the house's accounts."""


@statement.command("import")
@click.argument("file", type=EXISTING)
@click.option("--account", required=True, help="banks.<id> of bezant.toml.")
@click.option(
    "--format", "format_", type=click.Choice(["camt.053", "csv"]), help="Else seen by the file."
)
@click.option("--opening", help="Balance before a CSV's lines, where it has no column with it.")
@click.option("--closing", help="Balance after them.")
@click.option("--config", type=FILE, help="bezant.toml (else the running sandbox's).")
@click.option("--data-dir", type=DIRECTORY, help="The sandbox's, if not the usual one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(
    file: Path,
    account: str,
    format_: str | None,
    opening: str | None,
    closing: str | None,
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Takes FILE in, camt.053 or CSV, all of it or nothing; again is harmless."""
    from bezant.administration import installation
    from bezant.printing import show

    if file.stat().st_size > LARGEST:
        click.echo(f"bezant: {file} is larger than {LARGEST} bytes", err=True)
        sys.exit(1)
    found = _take(installation(config, data_dir), file, account, format_, opening, closing)
    if as_json:
        show({"object": "list", "data": found}, as_json=True)
        return
    for one in found:
        left = one["lines"] - one["matched"]
        click.echo(
            f"{one['id']}  {one['opened_on']} to {one['closed_on']}: {one['opening']} to"
            f" {one['closing']} {one['asset']}, {one['lines']} lines"
            + (f", {left} not explained (GET /v1/breaks?place=bank:{account})" if left else "")
        )


def _take(
    settings: Settings,
    file: Path,
    account: str,
    format_: str | None,
    opening: str | None,
    closing: str | None,
) -> list[dict[str, Any]]:
    from bezant.bootstrap import open_context
    from treasury import bank_statements

    content = file.read_bytes()

    async def do() -> list[dict[str, Any]]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            return await bank_statements.take(
                session,
                context,
                account,
                content,
                format_=format_,
                opening=opening,
                closing=closing,
                by=BY,
            )

    return asyncio.run(do())
