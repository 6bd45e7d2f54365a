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
def bank() -> None:
    """What the house's banks are asked for."""


@bank.command("export")
@click.option("--output", type=FILE, required=True, help="Where to write it; must not exist.")
@click.option("--account", help="banks.<id> of bezant.toml that pays, if there are several.")
@click.option("--currency", help="Else the account's.")
@click.option("--again", metavar="BEX", help="Not a new file: the one that was made before.")
@click.option("--config", type=FILE, help="bezant.toml (else the running sandbox's).")
@click.option("--data-dir", type=DIRECTORY, help="The sandbox's, if not the usual one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export(
    output: Path,
    account: str | None,
    currency: str | None,
    again: str | None,
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Released payouts as pain.001.001.09, for the bank. Each is in one file only."""
    from bezant.administration import installation
    from bezant.printing import show

    if again is not None and (account or currency):
        raise click.UsageError("--again names a file: it has its account")
    if output.exists():
        raise click.UsageError(f"{output} is there already")
    made, content = _export(installation(config, data_dir), account, currency, again)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        click.echo(
            f"bezant: {output} could not be written ({error.strerror}). The payouts are in"
            f" {made['id']}: bezant bank export --again {made['id']} --output FILE",
            err=True,
        )
        sys.exit(1)
    if as_json:
        show(made, as_json=True)
        return
    click.echo(
        f"{made['id']}  {made['payouts']} payouts, {made['total']} {made['asset']} from"
        f" {made['account']}: {output}"
    )


def _export(
    settings: Settings, account: str | None, currency: str | None, again: str | None
) -> tuple[dict[str, Any], str]:
    """The export and its file, after it was stored."""
    from bezant.bootstrap import open_context
    from core import ids
    from treasury import bank_exports

    async def do() -> tuple[dict[str, Any], str]:
        async with open_context(settings, listen=False) as context:
            number = ids.read("bex", again) if again is not None else None
            if again is None:
                async with context.database.begin() as session:
                    made = await bank_exports.make(
                        session, context, account=account, currency=currency, by=BY
                    )
                number = ids.read("bex", made["id"])
            async with context.database.read() as session:
                row = await bank_exports.find(session, number)
                return bank_exports.export_json(row), row.content

    return asyncio.run(do())


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
