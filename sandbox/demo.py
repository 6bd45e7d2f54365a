"""`bezant demo`: one payment story, told live in the terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from standardwebhooks import Webhook, WebhookVerificationError

from core.errors import Unavailable
from sandbox.shop import Shop, enter
from sandbox.world import CONFIRMATIONS

AMOUNT = "25.00"
ASSET = "USDC"
PACE_SECONDS = 0.8  # between two things to read
PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.05


class Demo:
    """Tells the story on a console; everything shown comes from the API and the webhook."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._interactive = console.is_terminal
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def note(self, text: str) -> None:
        self._console.print(f"[dim]  {text}[/dim]")

    async def tell(self, content: dict[str, Any]) -> None:
        """The whole story, under a minute. Raises Refused or Unavailable when it goes wrong."""
        self._console.print()
        async with (
            enter(content["api_url"], content["api_key"]) as shop,
            enter(content["api_url"], content["operator_key"]) as house,
            self._server(content["webhook_secret"]) as hook,
        ):
            invoice = await self._invoice(shop, hook)
            paid = await self._pay(shop, invoice)
            await self._confirm(shop, invoice)
            await self._webhooks()
            await self._ledger(shop, house, paid)

    async def leave_open(self, content: dict[str, Any]) -> None:
        """A second invoice for whoever watches."""
        async with enter(content["api_url"], content["api_key"]) as shop:
            invoice = await shop.post(
                "/invoices",
                {"amount": "40.00", "currency": "EUR", "expires_in": 86_400,
                 "description": "Try it yourself"},
            )  # fmt: skip
        data_dir = content["data_dir"]
        words = Text.assemble(
            "Open it in a browser:\n  ", (invoice["checkout_url"], "bold cyan"),
            "\n\nPay it from another terminal:\n  ",
            (f"bezant pay {invoice['id']} --data-dir {data_dir}\n", "bold"),
            "  ", (f"bezant chain mine 3 --data-dir {data_dir}\n\n", "bold"),
            "API      ", content["api_url"], "  (docs at /docs)\n",
            "API key  ", content["api_key"],
        )  # fmt: skip
        self._console.print(Panel(words, title="The shop is open", border_style="green"))
        self._console.print("Ctrl-C closes it.")

    # -- chapters ------------------------------------------------------------------------------

    async def _invoice(self, shop: Shop, hook: str) -> dict[str, Any]:
        self._chapter("1", "The shop asks for money")
        invoice = await shop.post(
            "/invoices",
            {"amount": AMOUNT, "currency": "USD", "reference": "order-1001",
             "description": "A pot of honey", "webhook_url": hook},
        )  # fmt: skip
        table = Table(box=None, padding=(0, 2))
        for column in ("asset", "exactly", "rate", "network"):
            table.add_column(column, style="dim" if column == "network" else None)
        first = invoice["payment_options"][0]["network"]
        for option in invoice["payment_options"]:
            if option["network"] == first:
                rate = f"{option['rate']} USD"
                table.add_row(option["asset"], option["amount"], rate, option["network"])
        self._say(f"{AMOUNT} USD for order-1001: [bold]{invoice['id']}[/bold]")
        self._console.print(table)
        self._say(f"one address for all of them: [bold]{first_address(invoice)}[/bold]")
        self._say(f"checkout page: [cyan]{invoice['checkout_url']}[/cyan]")
        await self._pause(2)
        return invoice

    async def _pay(self, shop: Shop, invoice: dict[str, Any]) -> dict[str, Any]:
        self._chapter("2", "A customer pays")
        paid = await shop.post("/sandbox/pay", {"invoice": invoice["id"], "asset": ASSET})
        self._say(f"{paid['amount']} {paid['asset']} sent, transaction [bold]{paid['tx_hash']}")
        await self._until(shop, invoice, lambda i: i["status"] == "processing")
        self._say("seen in its block: the invoice is [yellow]processing[/yellow]")
        await self._pause()
        return paid

    async def _confirm(self, shop: Shop, invoice: dict[str, Any]) -> None:
        self._chapter("3", "Blocks bury it")
        with Live(console=self._console, refresh_per_second=20, transient=False) as live:
            while True:
                found = await shop.get(f"/invoices/{invoice['id']}")
                live.update(_progress(found))
                if found["status"] == "settled":
                    break
                await self._pause()
                before = found["deposits"][0]["confirmations"]
                await shop.post("/sandbox/mine", {"blocks": 1})
                await self._until(
                    shop,
                    invoice,
                    lambda i, n=before: i["deposits"][0]["confirmations"] > n,  # type: ignore[misc]
                )
        self._say("[green]settled[/green]: the money is the merchant's")
        await self._pause()

    async def _webhooks(self) -> None:
        self._chapter("4", "The shop's server was told")
        told = None
        while told != "invoice.settled":
            try:
                event = await asyncio.wait_for(self._received.get(), PATIENCE_SECONDS)
            except TimeoutError:
                raise Unavailable(f"no webhook within {PATIENCE_SECONDS} s") from None
            told = event["type"]
            self._say(f"[green]signature verified[/green]  {told:<20} {event['id']}")
        await self._pause()

    async def _ledger(self, shop: Shop, house: Shop, paid: dict[str, Any]) -> None:
        self._chapter("5", "The ledger proves it")
        entries = (await shop.get("/ledger/entries?limit=2"))["data"]
        for entry in reversed(entries):
            table = Table(box=None, padding=(0, 2), title=f"{entry['kind']}", title_justify="left")
            table.add_column("account")
            table.add_column("amount", justify="right")
            table.add_column("asset")
            for posting in entry["postings"]:
                table.add_row(posting["account"], posting["amount"], posting["asset"])
            self._console.print(table)
            await self._pause()
        balances = (await shop.get("/balances"))["data"]
        available = next(b["available"] for b in balances if b["asset"] == paid["asset"])
        self._say(f"available to the merchant: [bold]{available} {paid['asset']}")
        proof = await house.get("/ledger/verify")
        if not proof["ok"]:
            raise Unavailable("the ledger does not verify")
        self._say(
            f"hash chain of {proof['entries']} entries, every sum and every balance:"
            " [green]verified[/green]"
        )
        self._console.print()

    # -- how it is told ------------------------------------------------------------------------

    def _chapter(self, number: str, title: str) -> None:
        self._console.print(Rule(f"[bold]{number}  {title}", align="left", style="cyan"))

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}", soft_wrap=True)

    async def _pause(self, beats: int = 1) -> None:
        """Time to read, where somebody reads."""
        if self._interactive:
            await asyncio.sleep(beats * PACE_SECONDS)

    async def _until(
        self, shop: Shop, invoice: dict[str, Any], true: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while not true(found := await shop.get(f"/invoices/{invoice['id']}")):
            if loop.time() > deadline:
                raise Unavailable(f"{found['id']} stays {found['status']}")
            await asyncio.sleep(LOOK_SECONDS)
        return found

    @asynccontextmanager
    async def _server(self, secret: str) -> AsyncIterator[str]:
        """The shop's own server: it believes a webhook only when its signature is right."""

        async def receive(request: web.Request) -> web.Response:
            body = await request.text()
            try:
                Webhook(secret).verify(body, dict(request.headers))
            except WebhookVerificationError:
                return web.Response(status=400)
            self._received.put_nowait(json.loads(body))
            return web.Response(status=204)

        application = web.Application()
        application.router.add_post("/webhooks", receive)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
        finally:
            await runner.cleanup()


def first_address(invoice: dict[str, Any]) -> str:
    """The address that all options share."""
    return str(invoice["payment_options"][0]["address"])


def _progress(invoice: dict[str, Any]) -> Group:
    deposit = invoice["deposits"][0]
    done = min(deposit["confirmations"], CONFIRMATIONS)
    return Group(
        Text(
            f"  block {deposit['block_number']}: {done} of {CONFIRMATIONS} confirmations,"
            f" the invoice is {invoice['status']}"
        ),
        ProgressBar(total=CONFIRMATIONS, completed=done, width=40),
    )
