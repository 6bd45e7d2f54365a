"""The house's side of a scenario: quotes, conversions, and the proof at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from core.errors import Refused, Unavailable
from exchanges.types import Venue
from sandbox.shop import Shop
from sandbox.story import LOOK_SECONDS, Story

AMOUNT = "0.2"
PATIENCE_SECONDS = 60  # a call that hangs is given up after ten
OVER = ("filled", "partially_filled", "failed")
CENT = Decimal("0.01")


class Desk:
    """Asks with the operator's key; what it does is told in the story."""

    def __init__(self, story: Story, house: Shop) -> None:
        self.story = story
        self.house = house

    async def quote(self, amount: str = AMOUNT, sold: str = "ETH", bought: str = "EUR") -> Any:
        """Raises Refused: as the house would be."""
        return await self.house.post("/quotes", {"from": sold, "to": bought, "amount": amount})

    async def convert(self, venue: Venue) -> dict[str, Any]:
        """A conversion that goes to `venue`, as it was accepted. Raises Unavailable when the quote
        goes elsewhere."""
        quote = await self.quote()
        if {leg["venue"] for leg in quote["legs"]} != {venue.value}:
            raise Unavailable(f"the quote does not go to {venue}")
        asked = await self.house.post("/conversions", {"quote": quote["id"]})
        self.story.tell(f"{AMOUNT} ETH are to become EUR at {venue}: {asked['id']}")
        return dict(asked)

    async def ends(
        self, conversion: dict[str, Any], right: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Waits until it is over, or until it is `right`. Raises Unavailable."""
        path = f"/conversions/{conversion['id']}"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            found = await self.house.get(path)
            if found["status"] in OVER or (right and right(found)):
                return found
            if loop.time() > deadline:
                raise Unavailable(f"{found['id']} stays {found['status']}")
            await asyncio.sleep(LOOK_SECONDS)

    async def filled(self, conversion: dict[str, Any]) -> dict[str, Any]:
        """Raises Unavailable when it ends otherwise."""
        found = await self.ends(conversion)
        if found["status"] != "filled":
            raise Unavailable(f"{found['id']} is {found['status']}: {found['reason']}")
        self.story.tell(f"filled: {found['from_amount']} ETH became {found['to_amount']} EUR")
        return found

    async def fault(self, venue: Venue, operation: str, fault: str, times: int = 1) -> None:
        wish = {"operation": operation, "fault": fault, "times": times}
        await self.house.post(f"/sandbox/exchanges/{venue}/faults", wish)

    async def mid(self, venue: Venue, price: Decimal | None) -> None:
        """None: as the sandbox's feeds say."""
        body = {"symbol": "ETH-EUR"} | ({} if price is None else {"price": str(price)})
        await self.house.post(f"/sandbox/exchanges/{venue}/mid", body)

    async def price(self) -> Decimal:
        return Decimal((await self.house.get("/prices/ETH-EUR"))["price"]).quantize(CENT)

    @asynccontextmanager
    async def best(self, venue: Venue) -> AsyncIterator[None]:
        """While this lasts `venue` gives a little more for ETH than the other one."""
        higher = (await self.price() * Decimal("1.006")).quantize(CENT)
        await self.mid(venue, higher)
        try:
            await self._comes(
                lambda q: (
                    (venue, "ETH-EUR", higher)
                    in {(b["venue"], b["symbol"], Decimal(b["mid"])) for b in q["books"]}
                )
            )
            yield
        finally:
            await self.mid(venue, None)

    async def comes_back(self) -> None:
        """Waits until every book is used again."""
        await self._comes(lambda q: not q["refused"])

    async def _comes(self, right: Callable[[dict[str, Any]], bool]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while loop.time() < deadline:
            try:
                if right(await self.quote()):
                    return
            except Refused as error:
                if error.code != "price_unavailable":
                    raise
            await asyncio.sleep(LOOK_SECONDS)
        raise Unavailable("no quote as it should be")

    # -- proof ---------------------------------------------------------------------------------

    async def orders(self, venue: Venue, conversion: dict[str, Any]) -> list[dict[str, Any]]:
        """What the venue itself knows of a conversion's orders."""
        found = (await self.house.get(f"/sandbox/exchanges/{venue}/orders"))["data"]
        ours = {leg["client_order_id"] for leg in conversion["legs"]}
        return [order for order in found if order["client_order_id"] in ours]

    async def same_orders(self, venue: Venue, conversion: dict[str, Any]) -> None:
        """Each was placed once, with as much filled as our books say. Raises Unavailable."""
        theirs = await self.orders(venue, conversion)
        there = sorted((o["client_order_id"], Decimal(o["filled"])) for o in theirs)
        here = sorted(
            (leg["client_order_id"], Decimal(leg["filled"])) for leg in conversion["legs"]
        )
        if there != here:
            raise Unavailable(f"{venue} has {there}, the books have {here}")
        self.story.tell(f"{venue} knows the same orders, each of them once")

    async def reconcile(self) -> dict[str, Any]:
        """Of the venues. Raises Unavailable."""
        asked = await self.house.post("/reconciliations", {"scope": "exchanges"})
        return await self.story.wait(
            f"/reconciliations/{asked['id']}",
            "every venue was compared with the books",
            lambda r: r["status"] != "running",
            self.house,
        )

    async def equal(self, venue: Venue) -> None:
        """The ledger is what the venue says, to the last unit. Raises Unavailable."""
        found = await self.reconcile()
        part = found["parts"].get(f"venue:{venue}")
        if part is None or part["differences"]:
            raise Unavailable(f"the ledger differs from {venue}: {found['id']} {found['unread']}")
        self.story.tell(f"the ledger equals {venue}: {part['compared']} comparisons")


@asynccontextmanager
async def open_desk(story: Story) -> AsyncIterator[Desk]:
    """With faults of its own only: what waits is taken back at the end."""
    async with story.house() as house:
        try:
            yield Desk(story, house)
        finally:
            for venue in Venue:
                await house.ask("DELETE", f"/v1/sandbox/exchanges/{venue}/faults")
