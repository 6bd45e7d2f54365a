"""The demo's last part: ETH becomes euros at an exchange, and everything is compared."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from core.errors import Unavailable
from sandbox.shop import Shop
from sandbox.teller import Teller
from sandbox.world import CONFIRMATIONS

AMOUNT = "2"
CENT = Decimal("0.01")
NAMES = {"binance": "Binance", "coinbase": "Coinbase"}
COMPARED = {
    "chain": "balances on {}, by address and asset",
    "blocks": "blocks of {} without a gap",
    "venue": "balances, trades and transfers at {}",
    "invoices": "payments against invoices",
    "ledger": "hashes and sums of the ledger",
}


class Treasury(Teller):
    """A move to an exchange, a quote, its conversion, a reconciliation. `untouched`: nobody has
    played with this sandbox before, so a difference in its books is ours, and ends the story."""

    def __init__(self, console: Console, *, untouched: bool = False) -> None:
        super().__init__(console)
        self._untouched = untouched

    async def tell(self, house: Shop, network: str) -> None:
        """`network`: where the ETH is. Raises Refused or Unavailable when it goes wrong."""
        await self._moved(house, network)
        quote = await self._quoted(house)
        await self._converted(house, quote)
        await self.reconciled(house)

    async def _moved(self, house: Shop, network: str) -> None:
        self.chapter("10", "ETH goes to an exchange")
        asked = await house.post(
            "/treasury/moves",
            {"asset": "ETH", "amount": AMOUNT, "network": network, "from": "hot", "to": "binance"},
        )
        path = f"/treasury/moves/{asked['id']}"
        gone = await self.until(
            house, path, lambda m: m["status"] in ("in_transit", "done", "failed")
        )
        self.say(
            f"{AMOUNT} ETH of the house's own leave its wallet for [bold]{gone['address']}[/bold],"
            " the address that Binance itself names"
        )
        self.say(f"[yellow]in transit[/yellow] in the books, transaction [bold]{gone['tx_hash']}")
        await self.pause()
        await house.post("/sandbox/mine", {"blocks": CONFIRMATIONS})
        done = await self.until(house, path, lambda m: m["status"] in ("done", "failed"))
        if done["status"] != "done":
            raise Unavailable(f"{done['id']} failed: {done['reason']}")
        self.say(f"[green]{done['status']}[/green]: Binance has credited it, the books follow")
        await self.pause()

    async def _quoted(self, house: Shop) -> dict[str, Any]:
        self.chapter("11", "The house asks what its ETH would bring")
        quote = await house.post("/quotes", {"from": "ETH", "to": "EUR", "amount": AMOUNT})
        chosen = {(leg["venue"], leg["symbol"]) for leg in quote["legs"]}
        table = Table(box=None, padding=(0, 2))
        table.add_column(f"{AMOUNT} ETH sold at")
        table.add_column("by way of", style="dim")
        table.add_column("brings, fees taken off", justify="right")
        table.add_column("")
        for way in quote["alternatives"]:
            if "to_amount" not in way:
                continue
            taken = {(way["venue"], symbol) for symbol in way["symbols"]} == chosen
            table.add_row(
                NAMES[way["venue"]],
                ", then ".join(way["symbols"]),
                f"{money(way['to_amount'])} EUR",
                "[green]chosen[/green]" if taken else "",
            )
        self.console.print(table)
        oracle = quote["oracle"]
        self.say(
            f"Chainlink says {money(oracle['price'])} EUR for one ETH: with fees this is"
            f" {off(oracle['deviation_percent'])}; worse than"
            f" {oracle['worst_percent'].lstrip('-').rstrip('0').rstrip('.')} % below is refused"
        )
        await self.pause(2)
        return quote

    async def _converted(self, house: Shop, quote: dict[str, Any]) -> None:
        self.chapter("12", "ETH becomes EUR")
        asked = await house.post("/conversions", {"quote": quote["id"]})
        self.say(
            f"conversion [bold]{asked['id']}[/bold]: each order has its worst price written on it,"
            " and is never sent twice"
        )
        done = await self.until(
            house,
            f"/conversions/{asked['id']}",
            lambda c: c["status"] not in ("accepted", "working"),
        )
        if done["status"] != "filled":
            raise Unavailable(f"{done['id']} is {done['status']}: {done['reason']}")
        table = Table(box=None, padding=(0, 2))
        for column in ("exchange", "order", "filled", "at", "at worst", "fee"):
            left = column in ("exchange", "order")
            table.add_column(column, justify="left" if left else "right")
        for leg in done["legs"]:
            base, _, other = leg["symbol"].partition("-")
            fees = " + ".join(f"{money(fee['amount'])} {fee['asset']}" for fee in leg["fees"])
            table.add_row(
                NAMES[leg["venue"]],
                f"{leg['side']} {leg['quantity']} {base}",
                f"{leg['filled']} {base}",
                f"{money(leg['average_price'])} {other}",
                f"{money(leg['limit_price'])} {other}",
                fees,
            )
        self.console.print(table)
        self.say(
            f"[green]{done['status']}[/green]: {done['from_amount']} ETH became"
            f" [bold]{money(done['to_amount'])} EUR[/bold];"
            f" {money(done['quoted']['to_amount'])} were quoted"
        )
        await self.pause(2)

    async def reconciled(self, house: Shop) -> None:
        """The last chapter. Raises Unavailable where it fails, or is not clean and should be."""
        self.chapter("13", "The books against the world")
        asked = await house.post("/reconciliations")
        found = await self.until(
            house, f"/reconciliations/{asked['id']}", lambda r: r["status"] != "running"
        )
        table = Table(box=None, padding=(0, 2))
        for column in ("what", "compared", "differ"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for kind, told in COMPARED.items():
            for part, seen in sorted(found["parts"].items()):
                name, _, place = part.partition(":")
                if name == kind:
                    where = NAMES.get(place, place)
                    table.add_row(
                        told.format(where), str(seen["compared"]), str(seen["differences"])
                    )
        self.console.print(table)
        if found["status"] == "failed":
            raise Unavailable(f"the reconciliation {found['id']} could not read everything")
        proved = ", ".join(
            f"block {block['number']} of {block['network']}" for block in found["blocks"]
        )
        if found["status"] == "clean":
            self.say(f"[green]clean[/green]: {found['compared']} comparisons, up to {proved}")
        else:  # somebody has played with this sandbox before
            self.say(
                f"[yellow]not clean[/yellow]: {found['compared']} comparisons, up to {proved}, and"
                " differences that stand; [bold]bezant reconcile[/bold] names them,"
                " [bold]bezant sandbox --fresh[/bold] begins anew"
            )
            if self._untouched:
                raise Unavailable(f"the reconciliation {found['id']} of a new sandbox differs")
        self.console.print()


def money(amount: str) -> str:
    """Down to the cent, as a person reads it: 6,809.67."""
    return f"{Decimal(amount).quantize(CENT, ROUND_DOWN):,}"


def off(percent: str) -> str:
    """-0.1248 -> 0.12 % below."""
    value = Decimal(percent)
    return f"{abs(value).quantize(CENT)} % {'below' if value < 0 else 'above'}"
