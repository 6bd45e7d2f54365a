"""How commands print what they found: for people, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ledger.verify import Report


def report_json(report: Report) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "entries": report.entries,
        "head": report.head.hex(),
        "pending": report.pending,
        "problems": [
            {"kind": p.kind, "entry": p.entry, "message": p.message} for p in report.problems
        ],
    }


def show_report(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report_json(report), indent=2))
        return
    for problem in report.problems:
        click.echo(f"{problem.kind}: {problem.entry or ''} {problem.message}")
    verdict = "the ledger is whole" if report.ok else f"{len(report.problems)} problems"
    waiting = f", {report.pending} wait for their number" if report.pending else ""
    click.echo(f"{report.entries} entries in the chain{waiting}: {verdict}.")


def show(found: dict[str, Any], as_json: bool) -> None:
    """One thing: JSON, or a line for each field that has a value."""
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if value not in (None, "", [], {}) and name != "object":
            text = value
            if isinstance(value, list):
                text = ", ".join(map(str, value))
            elif isinstance(value, dict):
                text = ", ".join(f"{k}: {v}" for k, v in value.items())
            click.echo(f"{name:<16} {text}")


def show_keys(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """A line for each key."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2))
        return
    for row in rows:
        state = f"revoked {row['revoked_at']}" if row["revoked_at"] else ""
        used = f"used {row['last_used_at']}" if row["last_used_at"] else "never used"
        owner = row["merchant"] or "operator"
        parts = [row["id"], f"{row['prefix']}...", owner, " ".join(row["scopes"]), row["name"]]
        click.echo("  ".join(part for part in (*parts, used, state) if part))


def show_reconciliation(found: dict[str, Any], as_json: bool) -> None:
    """Up to where everything is proved, what was compared, and every Break that stands."""
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for block in found["blocks"]:
        at = f"block {block['number']}, {block['hash']}"
        console.print(f"{block['network']} is reconciled to {at}.")
    for venue in found["venues"]:
        console.print(f"{venue['venue']} is reconciled to {venue['as_of']}.")
    table = Table("what", "compared", "differences", title=found["id"], title_justify="left")
    for name, part in found["parts"].items():
        table.add_row(name, f"{part['compared']:,}", str(part["differences"] or ""))
    console.print(table)
    for one in found["unread"]:
        console.print(f"[red]not compared[/red]: {one['part']}: {one['reason']}")
    for row in found["breaks"]:
        click.echo(_break_line(row))
    console.print(f"{found['status']}: {found['compared']:,} compared.")


def _break_line(row: dict[str, Any]) -> str:
    """Whole at any width: its id is needed to resolve it."""
    asset = f" {(row['asset'] or '').partition('@')[0]}".rstrip()
    expected, actual = (
        "nothing" if amount is None else amount + asset
        for amount in (row["expected"], row["actual"])
    )
    owner = f", {row['owner']} looks after it" if row["owner"] else ""
    return (
        f"{row['id']}  {row['kind']} at {row['place']}: {expected} in the books, {actual} there,"
        f" since {row['created_at']}{owner}; to be resolved by {', '.join(row['resolutions'])}"
    )
