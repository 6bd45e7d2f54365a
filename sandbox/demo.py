"""`bezant demo`: from a payment to money at an exchange, told live in the terminal."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from standardwebhooks import Webhook, WebhookVerificationError

from core.errors import Unavailable
from sandbox.demo_leaving import Leaving, trimmed
from sandbox.demo_treasury import Treasury, money
from sandbox.shop import Shop, enter
from sandbox.teller import PATIENCE_SECONDS, Teller
from sandbox.world import CONFIRMATIONS

AMOUNT = "25.00"
ASSET = "USDC"
OFFERED = ("ETH", "USDC", "USDT", "DAI")  # the sandbox's other tokens are for tests


class Demo(Teller):
    """Tells the story on a console; everything shown comes from the API and the webhook."""

    def __init__(self, console: Console, told_where: str = "", *, untouched: bool = False) -> None:
        """`told_where` is what a command from another terminal needs besides, to find us.
        `untouched`: see Treasury."""
        super().__init__(console)
        self._untouched = untouched
        self._told_where = told_where
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def tell(self, content: dict[str, Any]) -> None:
        """The whole story, under a minute. Raises Refused or Unavailable when it goes wrong."""
        self.console.print()
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
            await Leaving(self.console).tell(shop, house, Path(content["data_dir"]))
            treasury = Treasury(self.console, untouched=self._untouched)
            await treasury.tell(house, content["networks"][0]["network"])

    async def leave_open(self, content: dict[str, Any]) -> None:
        """A second invoice for whoever watches."""
        async with enter(content["api_url"], content["api_key"]) as shop:
            invoice = await shop.post(
                "/invoices",
                {"amount": "40.00", "currency": "EUR", "expires_in": 86_400, "assets": OFFERED,
                 "networks": [content["networks"][0]["network"]],
                 "description": "Try it yourself"},
            )  # fmt: skip
        bezant, where = command(), self._told_where
        words = Text.assemble(
            "Open it in a browser:\n  ", (invoice["checkout_url"], "bold cyan"),
            "\n\nPay it from another terminal:\n  ",
            (f"{bezant} pay {invoice['id']}{where}\n", "bold"),
            "  ", (f"{bezant} chain mine 3{where}\n\n", "bold"),
            "API      ", content["api_url"], "  (docs at /docs)\n",
            "API key  ", content["api_key"],
        )  # fmt: skip
        self.console.print(Panel(words, title="The shop is open", border_style="green"))
        self.console.print("Ctrl-C closes it.")

    # -- chapters ------------------------------------------------------------------------------

    async def _invoice(self, shop: Shop, hook: str) -> dict[str, Any]:
        self.chapter("1", "The shop asks for money")
        invoice = await shop.post(
            "/invoices",
            {"amount": AMOUNT, "currency": "USD", "reference": "order-1001",
             "description": "A pot of honey", "webhook_url": hook, "assets": OFFERED},
        )  # fmt: skip
        table = Table(box=None, padding=(0, 2))
        for column in ("asset", "exactly", "rate", "network"):
            table.add_column(column, style="dim" if column == "network" else None)
        first = invoice["payment_options"][0]["network"]
        for option in invoice["payment_options"]:
            if option["network"] == first:
                rate = f"{money(option['rate'])} USD"
                table.add_row(option["asset"], trimmed(option["amount"]), rate, option["network"])
        self.say(f"{AMOUNT} USD for order-1001: [bold]{invoice['id']}[/bold]")
        self.console.print(table)
        self.say(f"one address for all of them: [bold]{first_address(invoice)}[/bold]")
        self.say(f"checkout page: [cyan]{invoice['checkout_url']}[/cyan]")
        await self.pause(2)
        return invoice

    async def _pay(self, shop: Shop, invoice: dict[str, Any]) -> dict[str, Any]:
        self.chapter("2", "A customer pays")
        paid = await shop.post("/sandbox/pay", {"invoice": invoice["id"], "asset": ASSET})
        self.say(
            f"{trimmed(paid['amount'])} {paid['asset']} sent, transaction [bold]{paid['tx_hash']}"
        )
        await self.until(shop, f"/invoices/{invoice['id']}", lambda i: i["status"] == "processing")
        self.say("seen in its block: the invoice is [yellow]processing[/yellow]")
        await self.pause()
        return paid

    async def _confirm(self, shop: Shop, invoice: dict[str, Any]) -> None:
        self.chapter("3", "Blocks bury it")
        path = f"/invoices/{invoice['id']}"
        with Live(console=self.console, refresh_per_second=20, transient=False) as live:
            found = await shop.get(path)
            while (before := found["deposits"][0]["confirmations"]) < CONFIRMATIONS:
                live.update(_progress(found))
                await self.pause()
                await shop.post("/sandbox/mine", {"blocks": 1})
                found = await self.until(
                    shop,
                    path,
                    lambda i, n=before: i["deposits"][0]["confirmations"] > n,  # type: ignore[misc]
                )
            live.update(_progress(await self.until(shop, path, lambda i: i["status"] == "settled")))
        self.say("[green]settled[/green]: the money is the merchant's")
        await self.pause()

    async def _webhooks(self) -> None:
        self.chapter("4", "The shop's server was told")
        told = None
        while told != "invoice.settled":
            try:
                event = await asyncio.wait_for(self._received.get(), PATIENCE_SECONDS)
            except TimeoutError:
                raise Unavailable(f"no webhook within {PATIENCE_SECONDS} s") from None
            told = event["type"]
            self.say(f"[green]signature verified[/green]  {told:<20} {event['id']}")
        await self.pause()

    async def _ledger(self, shop: Shop, house: Shop, paid: dict[str, Any]) -> None:
        self.chapter("5", "The ledger proves it")
        entries = (await shop.get("/ledger/entries?limit=2"))["data"]
        for entry in reversed(entries):
            table = Table(box=None, padding=(0, 2), title=f"{entry['kind']}", title_justify="left")
            table.add_column("account")
            table.add_column("amount", justify="right")
            table.add_column("asset")
            for posting in entry["postings"]:
                table.add_row(posting["account"], posting["amount"], posting["asset"])
            self.console.print(table)
            await self.pause()
        self.say(
            "each entry adds up to zero: what the house holds is positive, what it owes is negative"
        )
        balances = (await shop.get("/balances"))["data"]
        available = next(b["available"] for b in balances if b["asset"] == paid["asset"])
        self.say(f"available to the merchant: [bold]{trimmed(available)} {paid['asset']}")
        proof = await house.get("/ledger/verify")
        if not proof["ok"]:
            raise Unavailable("the ledger does not verify")
        self.say(
            f"hash chain of {proof['entries']} entries, every sum and every balance:"
            " [green]verified[/green]"
        )
        self.console.print()

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


def command() -> str:
    """How whoever started the demo calls us from where he is."""
    called = sys.argv[0]
    return called if Path(called).name == "bezant" and not shutil.which("bezant") else "bezant"


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
