"""Commands for developers: they speak to a running service, by default the sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bezant.client import Service
    from sandbox.shop import Shop

DIRECTORY = click.Path(file_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the service is; by default the running sandbox."""
    for option in (
        click.option("--data-dir", type=DIRECTORY, help="The sandbox's, if not the usual one."),
        click.option("--api-key", envvar="BEZANT_API_KEY", help="Else the sandbox's own."),
        click.option("--url", envvar="BEZANT_URL", help="The API, else the running sandbox."),
    ):
        command = option(command)
    return command


def _find(url: str | None, api_key: str | None, data_dir: Path | None) -> Service:
    from bezant.client import find

    return find(url, api_key, data_dir)


def _ask(
    found: Service, do: Callable[[Shop], Awaitable[dict[str, Any]]], as_json: bool
) -> dict[str, Any]:
    from bezant.printing import show

    async def run() -> dict[str, Any]:
        async with found.enter() as shop:
            return await do(shop)

    answer = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer.get("object") == "invoice":
        _show_invoice(answer)
    else:
        show(answer, as_json=False)
    return answer


def _show_invoice(invoice: dict[str, Any]) -> None:
    click.echo(f"{invoice['id']}  {invoice['status']} ({invoice['exception']})")
    click.echo(f"{invoice['amount']} {invoice['currency']}, due {invoice['amount_due']}")
    click.echo(invoice["checkout_url"])
    for option in invoice["payment_options"]:
        click.echo(
            f"  {option['amount_due']} {option['asset']} on {option['network']} to"
            f" {option['address']}"
        )
    for deposit in invoice["deposits"]:
        click.echo(
            f"  {deposit['status']}: {deposit['amount']} {deposit['asset']} in {deposit['tx_hash']}"
        )


@click.group()
def invoice() -> None:
    """Invoices of the service."""


@invoice.command("create")
@click.argument("amount")
@click.argument("currency")
@click.option("--asset", "assets", multiple=True, help="Repeat for several; else all.")
@click.option("--network", "networks", multiple=True, help="Repeat for several; else all.")
@click.option("--reference")
@click.option("--expires-in", type=int, help="Seconds (900).")
@service
@as_json
def invoice_create(
    amount: str,
    currency: str,
    assets: tuple[str, ...],
    networks: tuple[str, ...],
    reference: str | None,
    expires_in: int | None,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """A new invoice: bezant invoice create 25.00 USD"""
    body: dict[str, Any] = {"amount": amount, "currency": currency}
    wishes = {
        "assets": list(assets),
        "networks": list(networks),
        "reference": reference,
        "expires_in": expires_in,
    }
    body |= {name: wish for name, wish in wishes.items() if wish}
    _ask(_find(url, api_key, data_dir), lambda shop: shop.post("/invoices", body), as_json)


@invoice.command("show")
@click.argument("invoice_id", metavar="INVOICE")
@service
@as_json
def invoice_show(
    invoice_id: str, url: str | None, api_key: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """An invoice as it is now."""
    _ask(_find(url, api_key, data_dir), lambda shop: shop.get(f"/invoices/{invoice_id}"), as_json)


@click.command()
@click.argument("invoice_id", metavar="INVOICE")
@click.option("--asset")
@click.option("--network")
@click.option("--amount", help="Else what is due.")
@click.option("--via", type=click.Choice(["transfer", "contract", "router"]), default="transfer")
@service
@as_json
def pay(
    invoice_id: str,
    asset: str | None,
    network: str | None,
    amount: str | None,
    via: str,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Pays an invoice as a customer would (sandbox only)."""
    body = {"invoice": invoice_id, "asset": asset, "network": network, "amount": amount, "via": via}
    wanted = {name: value for name, value in body.items() if value is not None}
    _ask(_find(url, api_key, data_dir), lambda shop: shop.post("/sandbox/pay", wanted), as_json)


@click.group()
def chain() -> None:
    """Blocks and forks."""


@chain.command()
@click.argument("blocks", type=click.IntRange(min=1), default=1)
@click.option("--network", help="Else every chain.")
@service
@as_json
def mine(
    blocks: int,
    network: str | None,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Mines empty blocks (sandbox only)."""
    body: dict[str, Any] = {"blocks": blocks} | ({"network": network} if network else {})
    _ask(_find(url, api_key, data_dir), lambda shop: shop.post("/sandbox/mine", body), as_json)


@chain.command()
@click.argument("depth", type=click.IntRange(min=1))
@click.option("--keep/--drop", default=True, help="Whether the transactions come back.")
@click.option("--network", help="Else the first chain.")
@service
@as_json
def reorg(
    depth: int,
    keep: bool,
    network: str | None,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Replaces the last blocks by others (sandbox only)."""
    body: dict[str, Any] = {"depth": depth, "keep_transactions": keep}
    body |= {"network": network} if network else {}
    _ask(_find(url, api_key, data_dir), lambda shop: shop.post("/sandbox/reorg", body), as_json)


@chain.command("accept-fork")
@click.argument("network")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path))
def accept_fork(network: str, config: Path | None) -> None:
    """A person's word that a chain which changed below its finalized block is the true one."""
    from bezant.administration import accept_fork as accept
    from bezant.settings import load

    accept(load(config), network)
    click.echo(f"{network} is followed again.")


@click.command()
@click.option("--forward-to", metavar="URL", help="POST each event there, signed.")
@click.option("--secret", help="whsec_... to sign with; else the sandbox merchant's own.")
@click.option("--type", "kind", help="Only this type, such as invoice.settled.")
@service
@as_json
def listen(
    forward_to: str | None,
    secret: str | None,
    kind: str | None,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Events as they happen, forwarded to your own server if you like."""
    from bezant.listening import listen as run

    asyncio.run(run(_find(url, api_key, data_dir), forward_to, secret, kind, as_json))


@click.command()
@click.argument("name", metavar="NAME|all")
@click.option("--seed", type=int, help="Play all in an order drawn from this number.")
@service
@as_json
def scenario(
    name: str,
    seed: int | None,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Plays a story by name, or all of them (sandbox only)."""
    from bezant.listening import play

    failed = asyncio.run(play(_find(url, api_key, data_dir), name, as_json, seed))
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("measures", nargs=-1)
@click.option("--quick", is_flag=True, help="Smaller numbers: for the shape, not the figures.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default="bench.json",
    show_default=True, help="All figures as JSON.",
)  # fmt: skip
def bench(measures: tuple[str, ...], quick: bool, output: Path) -> None:
    """How fast, as ratios to a floor taken in the same run.

    MEASURES are of: create read delivery catchup watched journal reconciliation quotes
    conversions resources; all by default.
    """
    from sandbox.bench.main import run

    sys.exit(run(measures, quick=quick, output=output))
