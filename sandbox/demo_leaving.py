"""The demo's second half: money leaves, and only with permission."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.table import Table

from core.errors import Unavailable
from sandbox.policy import UNATTENDED_ETH
from sandbox.shop import Shop
from sandbox.state import APPROVER_KEY
from sandbox.story import approve, somebody
from sandbox.teller import Teller
from sandbox.world import CONFIRMATIONS

EARNED = "2"
AMOUNT = "1.5"
GWEI = Decimal("1e-9")  # in ETH
IN_WEI = frozenset({"amount", "feeCap"})  # of an ETH payout


class Leaving(Teller):
    """A payout above the signer's limit, approved by a person; then a sweep."""

    async def tell(self, shop: Shop, house: Shop, directory: Path) -> None:
        """Raises Refused or Unavailable when it goes wrong."""
        payout = await self._held(shop)
        await self._approved(shop, payout, directory / APPROVER_KEY)
        await self._paid(shop, payout)
        await self._swept(house, payout["network"])
        await self._proved(house)

    async def _held(self, shop: Shop) -> dict[str, Any]:
        self.chapter("6", "Money leaves, with permission")
        network = await self._earn(shop)
        self.say(
            f"a wholesale order earned [bold]{EARNED} ETH[/bold]; the shop wants {AMOUNT} of it"
        )
        body = {"amount": AMOUNT, "asset": "ETH", "network": network, "address": somebody()}
        asked = await shop.post("/payouts", body)
        self.say(f"payout [bold]{asked['id']}[/bold] to {asked['address']}")
        held = await self.until(shop, f"/payouts/{asked['id']}", lambda p: p["status"] == "held")
        self.say(
            f"[yellow]held[/yellow]: above {UNATTENDED_ETH} ETH the signer, a process that the API"
            " cannot reach, wants a person's signature"
        )
        await self.pause(2)
        return held

    async def _earn(self, shop: Shop) -> str:
        """Something to pay out; the network it is on."""
        invoice = await shop.post(
            "/invoices", {"amount": EARNED, "currency": "ETH", "assets": ["ETH"]}
        )
        await shop.post("/sandbox/pay", {"invoice": invoice["id"]})
        await shop.post("/sandbox/mine", {"blocks": CONFIRMATIONS})
        settled = await self.until(
            shop, f"/invoices/{invoice['id']}", lambda i: i["status"] == "settled"
        )
        return str(settled["deposits"][0]["network"])

    async def _approved(self, shop: Shop, payout: dict[str, Any], key: Path) -> None:
        self.chapter("7", "A person reads it and signs")
        asked = await shop.get(f"/approvals/{payout['approval']}")
        table = Table(box=None, padding=(0, 2))
        table.add_column("signed field", style="dim")
        table.add_column("value")
        table.add_column("that is", style="dim")
        for name, value in asked["typed_data"]["message"].items():
            table.add_row(name, str(value), in_ether(value) if name in IN_WEI else "")
        self.console.print(table)
        await approve(shop, payout["id"], key)
        self.say(
            f"[green]{asked['needed']} of {asked['needed']} signed[/green] with a key of the"
            " approver's own, by EIP-712; the signer checks it again"
        )
        await self.pause(2)

    async def _paid(self, shop: Shop, payout: dict[str, Any]) -> None:
        self.chapter("8", "Sent once, and in the books")
        path = f"/payouts/{payout['id']}"
        sent = await self.until(
            shop, path, lambda p: any(t["status"] == "mined" for t in p["transactions"])
        )
        [transaction] = sent["transactions"]
        self.say(f"nonce {transaction['nonce']}, transaction [bold]{transaction['tx_hash']}")
        await shop.post("/sandbox/mine", {"blocks": CONFIRMATIONS})
        paid = await self.until(shop, path, lambda p: p["status"] == "paid")
        self.say(
            f"[green]paid[/green]: {trimmed(paid['amount'])} ETH,"
            f" fee {trimmed(paid['network_fee'])} ETH as quoted"
        )
        await self.pause()

    async def _swept(self, house: Shop, network: str) -> None:
        self.chapter("9", "What was earned goes to the treasury")
        asked = await house.post("/sweeps", {"network": network})
        path = f"/sweeps/{asked['id']}"
        await self.until(
            house, path, lambda s: any(t["status"] == "mined" for t in s["transactions"])
        )
        await house.post("/sandbox/mine", {"blocks": CONFIRMATIONS})
        swept = await self.until(house, path, lambda s: s["status"] == "done")
        table = Table(box=None, padding=(0, 2))
        for column in ("deposit address", "swept", "gas in ETH"):
            table.add_column(column, justify="left" if column == "deposit address" else "right")
        for item in swept["items"]:
            table.add_row(
                item["address"], f"{trimmed(item['swept'])} {item['asset']}", rounded(item["gas"])
            )
        self.console.print(table)
        self.say(
            "by one contract call: the addresses have no keys, and can pay the treasury only"
            f" ([green]{swept['status']}[/green])"
        )
        await self.pause()

    async def _proved(self, house: Shop) -> None:
        proof = await house.get("/ledger/verify")
        if not proof["ok"]:
            raise Unavailable("the ledger does not verify")
        self.say(f"{proof['entries']} entries, gas to the wei: [green]verified[/green]")
        self.console.print()


def in_ether(wei: object) -> str:
    return f"{trimmed(str(Decimal(str(wei)).scaleb(-18)))} ETH"


def rounded(amount: str) -> str:
    """To the gwei: 0.000087204."""
    return f"{Decimal(amount).quantize(GWEI):f}"


def trimmed(amount: str) -> str:
    """1.500000000000000000 -> 1.5, as a person writes it."""
    return f"{Decimal(amount).normalize():f}"
