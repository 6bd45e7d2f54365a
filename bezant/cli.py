"""`bezant`: every command. The code behind one is imported inside it, so that `bezant api` loads
no key and no SDK. Exit codes: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bezant import authority, banking, developers, exporting, screening

if TYPE_CHECKING:
    from bezant.settings import Settings

FILE = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(file_okay=False, path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
config = click.option(
    "--config", type=FILE, help="bezant.toml (else BEZANT_CONFIG, else ./bezant.toml)."
)
gate = click.option("--gate", type=int, hidden=True, help="A pipe at whose end it begins.")
data_dir = click.option(
    "--data-dir", type=DIRECTORY, help="Where it keeps everything (else BEZANT_DATA_DIR, .bezant)."
)


def _settings(file: Path | None) -> Settings:
    from bezant.settings import load

    return load(file)


def _installation(file: Path | None) -> Settings:
    from bezant.administration import installation

    return installation(file)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bezant")
def cli() -> None:
    """Crypto payments on your own machine, with a ledger that proves every number."""


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), help="The API's (8000 if free; 0: any).")
@data_dir
@click.option("--networks", type=click.IntRange(1, 2), help="How many chains (2).")
@click.option("--ready-file", type=FILE, help="JSON with URLs, keys and pids once all is ready.")
@click.option("--fresh", is_flag=True, help="Forget everything first.")
def sandbox(
    port: int | None,
    data_dir: Path | None,
    networks: int | None,
    ready_file: Path | None,
    fresh: bool,
) -> None:
    """The whole world on this machine: chains, contracts, database, API, worker."""
    from bezant.sandbox import run

    run(port, data_dir, networks, ready_file, fresh)


@cli.command()
@click.option("--once", is_flag=True, help="Stop everything at the end of the story.")
@data_dir
def demo(once: bool, data_dir: Path | None) -> None:
    """One payment, told live; then the shop stays open."""
    from bezant.sandbox import run_demo

    run_demo(once, data_dir)


@cli.command()
@config
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--fd", type=int, hidden=True, help="A listening socket, instead of host and port.")
@gate
def api(config: Path | None, host: str, port: int, fd: int | None, gate: int | None) -> None:
    """The HTTP API and the checkout pages."""
    from bezant.gate import API, wait
    from bezant.services import run_api

    wait(gate, API)
    run_api(_settings(config), host, port, fd)


@cli.command()
@config
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), default=9464, show_default=True,
    help="Its own /metrics, on 127.0.0.1 (0: nowhere).",
)  # fmt: skip
@click.option("--metrics-fd", type=int, hidden=True)
@gate
def worker(
    config: Path | None, metrics_port: int, metrics_fd: int | None, gate: int | None
) -> None:
    """Follows the chains, reads prices, delivers webhooks. A second one stands by."""
    from bezant.gate import WORKER, wait
    from bezant.services import run_worker

    wait(gate, WORKER)
    run_worker(_settings(config), metrics_port, metrics_fd)


@cli.command()
@config
def migrate(config: Path | None) -> None:
    """Brings the database's schema to this version."""
    from bezant.services import migrate as run

    click.echo(f"The schema is {run(_settings(config))}.")


@cli.command()
@config
@as_json
def doctor(config: Path | None, as_json: bool) -> None:
    """Checks configuration, database, nodes, contracts and feeds; a sentence each."""
    from bezant.doctor import run

    sys.exit(run(_installation(config), as_json))


@cli.group()
def merchant() -> None:
    """Merchants of this installation."""


@merchant.command("create")
@click.argument("name")
@config
@as_json
def merchant_create(name: str, config: Path | None, as_json: bool) -> None:
    """A new merchant with a first API key; key and webhook secret are shown once."""
    from bezant.administration import create_merchant
    from bezant.printing import show

    show(create_merchant(_installation(config), name), as_json)


@cli.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option("--merchant", help="mer_...; without it an operator's key.")
@click.option("--scope", "scopes", multiple=True, default=["*"], show_default=True)
@click.option("--name")
@config
@as_json
def key_create(
    merchant: str | None,
    scopes: tuple[str, ...],
    name: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """A new key, shown this once."""
    from bezant.administration import create_key
    from bezant.printing import show

    show(create_key(_installation(config), merchant, scopes, name), as_json)


@key.command("list")
@click.option("--merchant", help="mer_...; without it all.")
@config
@as_json
def key_list(merchant: str | None, config: Path | None, as_json: bool) -> None:
    """Keys, newest first (never their secrets)."""
    from bezant.administration import list_keys
    from bezant.printing import show_keys

    show_keys(list_keys(_installation(config), merchant), as_json)


@key.command("revoke")
@click.argument("key_id")
@config
@as_json
def key_revoke(key_id: str, config: Path | None, as_json: bool) -> None:
    """Ends a key at once, everywhere."""
    from bezant.administration import revoke_key
    from bezant.printing import show

    show(revoke_key(_installation(config), key_id), as_json)


@cli.group()
def ledger() -> None:
    """The books."""


@ledger.command("verify")
@config
@data_dir
@as_json
def ledger_verify(config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Proves the hash chain, every entry's sum and every balance; exit 1 if something is wrong.

    Without --config: the running sandbox's, if there is one.
    """
    from bezant import administration, printing
    from bezant.bootstrap import database_url
    from bezant.places import sandbox_dir

    url = None if config else administration.url_of_sandbox(sandbox_dir(data_dir))
    report = administration.verify_ledger(url or database_url(_settings(config)))
    printing.show_report(report, as_json)
    sys.exit(0 if report.ok else 1)


@cli.command()
@click.option(
    "--scope", type=click.Choice(["chain", "exchanges", "invoices", "all"]), default="all",
    show_default=True, help="What is compared.",
)  # fmt: skip
@config
@data_dir
@as_json
def reconcile(scope: str, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Proves every balance against chains, venues and invoices; exit 1 if anything differs.

    The running worker does it; without --config: the sandbox's.
    """
    from bezant import printing, proving
    from bezant.administration import installation

    found = proving.reconcile(installation(config, data_dir), scope)
    printing.show_reconciliation(found, as_json)
    sys.exit(0 if found["status"] == "clean" else 1)


for command in (
    developers.invoice,
    developers.pay,
    developers.chain,
    developers.listen,
    developers.scenario,
    developers.bench,
    exporting.export,
    screening.screening,
    banking.bank,
    banking.statement,
    authority.approve,
    authority.deploy,
    authority.signer,
    authority.wallet,
):
    cli.add_command(command)


def main() -> None:
    """The entry point: refusals are one sentence on stderr."""
    from core.errors import BezantError, Misconfigured

    try:
        cli()
    except SystemExit:
        raise  # the usual end: nothing more needs to be imported for it
    except Misconfigured as error:
        click.echo(f"bezant: {error}", err=True)
        sys.exit(2)
    except BezantError as error:
        click.echo(f"bezant: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except _database_away() as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        click.echo(f"bezant: the database does not answer: {reason}", err=True)
        sys.exit(1)


def _database_away() -> tuple[type[Exception], ...]:
    from psycopg import OperationalError
    from sqlalchemy.exc import OperationalError as Wrapped

    return OperationalError, Wrapped


if __name__ == "__main__":
    main()
