"""Commands about screening."""

from __future__ import annotations

from pathlib import Path

import click

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def screening() -> None:
    """Whose money is not taken, and who is not paid."""


@screening.command("load")
@click.argument("file", type=EXISTING)
@click.option("--list", "name", default="ofac-sdn", show_default=True, help="Which list it is.")
@click.option(
    "--kind", type=click.Choice(["sanctions", "mixer"]), default="sanctions", show_default=True
)
@click.option("--allow-shrinking", is_flag=True, help="Though it has less than half of before.")
@click.option("--config", type=FILE, help="bezant.toml (else the running sandbox's).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def load(
    file: Path, name: str, kind: str, allow_shrinking: bool, config: Path | None, as_json: bool
) -> None:
    """Replaces a list by FILE: OFAC's SDN_ADVANCED.XML, SDN.XML or sdn.csv, a JSON list of
    addresses, or one address a line."""
    from bezant.administration import installation, load_list
    from bezant.printing import show

    show(load_list(installation(config), file, name, kind, allow_shrinking), as_json)
