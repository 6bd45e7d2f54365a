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
