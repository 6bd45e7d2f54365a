"""Stories by name, played through the public API as a merchant's own code would see them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from core.errors import Refused, Unavailable

PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.1
DEAD_URL = "http://127.0.0.1:9/nobody-listens"
CONFIRMED = 3


class Shop:
    """A merchant's key at a running API, and what happened so far."""

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._key = key
        self._session = session
        self.steps: list[str] = []
        self.invoice: dict[str, Any] = {}

    def tell(self, text: str) -> None:
        self.steps.append(text)

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Raises Refused for everything that is not a success."""
        headers = {"Authorization": f"Bearer {self._key}"}
        async with self._session.request(
            method, f"{self._url}/v1{path}", json=body, headers=headers
        ) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status >= 400:
                raise Refused(answer.get("detail", ""), code=answer.get("code"))
            return answer

    async def order(self, amount: str = "25.00", **more: Any) -> dict[str, Any]:
        body = {"amount": amount, "currency": "USD", **more}
        self.invoice = await self.ask("POST", "/invoices", body)
        self.tell(f"an invoice over {amount} USD: {self.invoice['id']}")
        return self.invoice

    async def pay(self, **how: Any) -> dict[str, Any]:
        paid = await self.ask("POST", "/sandbox/pay", {"invoice": self.invoice["id"], **how})
        self.tell(f"{paid['amount']} {paid['asset']} sent in {paid['tx_hash']}")
        return paid

    async def mine(self, blocks: int = CONFIRMED) -> None:
        await self.ask("POST", "/sandbox/mine", {"blocks": blocks})
        self.tell(f"{blocks} blocks mined")

    async def reorg(self, depth: int) -> None:
        await self.ask("POST", "/sandbox/reorg", {"depth": depth, "keep_transactions": False})
        self.tell(f"the last {depth} blocks replaced, their transactions gone")

    async def until(self, what: str, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Raises Unavailable when the invoice does not get there in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            self.invoice = await self.ask("GET", f"/invoices/{self.invoice['id']}")
            if true(self.invoice):
                self.tell(f"the invoice is {what}")
                return self.invoice
            if loop.time() > deadline:
                raise Unavailable(
                    f"the invoice is not {what} after {PATIENCE_SECONDS} s, but"
                    f" {self.invoice['status']} ({self.invoice['exception']})"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def until_status(self, status: str, exception: str = "none") -> dict[str, Any]:
        what = status if exception == "none" else f"{status} ({exception})"
        return await self.until(
            what, lambda i: i["status"] == status and i["exception"] == exception
        )


async def underpaid(shop: Shop) -> None:
    """Less than is due arrives; the rest follows."""
    await shop.order()
    await shop.pay(asset="USDC", amount="10.00")
    await shop.until_status("new", "paid_partial")
    await shop.pay(asset="USDC")
    await shop.mine()
    await shop.until_status("settled")


async def overpaid(shop: Shop) -> None:
    """More than is due arrives; all of it is the merchant's, the excess can be refunded."""
    await shop.order()
    await shop.pay(asset="USDC", amount="30.00")
    await shop.mine()
    await shop.until_status("settled", "paid_over")


async def late(shop: Shop) -> None:
    """The payment comes after the deadline: it waits in the inbox for a decision."""
    await shop.order(expires_in=60)
    await shop.ask("POST", "/sandbox/clock", {"advance_seconds": 120})
    shop.tell("two minutes pass")
    await shop.until_status("expired")
    await shop.pay(asset="USDC", amount="25.00")
    await shop.mine()
    await shop.until_status("expired", "paid_late")


async def twice(shop: Shop) -> None:
    """The same customer pays twice."""
    await shop.order()
    await shop.pay(asset="ETH", amount="0.01")
    await shop.pay(asset="ETH", amount="0.01")
    await shop.mine()
    await shop.until_status("settled", "paid_over")


async def wrong_token(shop: Shop) -> None:
    """A token that the invoice does not offer: the money is kept for the merchant's decision."""
    await shop.order(assets=["USDC"])
    await shop.pay(asset="DAI", amount="25.00")
    await shop.mine()
    await shop.until(
        "still new, the token in its inbox",
        lambda i: any(
            d["inbox"] and d["inbox"]["reason"] == "unexpected_asset" for d in i["deposits"]
        ),
    )


async def contract_eth(shop: Shop) -> None:
    """ETH sent by a contract, in an inner call."""
    await shop.order()
    await shop.pay(asset="ETH", via="contract")
    await shop.mine()
    await shop.until_status("settled")


async def reorg_before_settlement(shop: Shop) -> None:
    """The block that carried the payment is replaced before it is deep enough."""
    await shop.order()
    await shop.pay(asset="ETH")
    await shop.until_status("processing")
    await shop.reorg(1)
    await shop.until_status("new")
    await shop.pay(asset="ETH")
    await shop.mine()
    await shop.until_status("settled")


async def reorg_after_settlement(shop: Shop) -> None:
    """The chain takes back what had settled the invoice: taken back in the ledger, and told."""
    await shop.order()
    await shop.pay(asset="ETH")
    await shop.mine()
    await shop.until_status("settled")
    await shop.reorg(CONFIRMED + 1)
    await shop.until("reversed", lambda i: bool(i["exception"] == "reversed"))


async def stale_oracle(shop: Shop) -> None:
    """The price's source falls silent: new invoices are refused, nothing is guessed."""
    pair = "ETH/USD"
    await shop.ask("POST", "/sandbox/prices", {"pair": pair, "price": "2500", "age_seconds": 7200})
    shop.tell(f"the newest {pair} price is two hours old")
    try:
        await shop.order(assets=["ETH"])
    except Refused as error:
        if error.code != "price_unavailable":
            raise
        shop.tell(f"the invoice is refused: {error.detail}")
    else:
        raise Unavailable("an invoice was made at a stale price")
    finally:
        await shop.ask("POST", "/sandbox/prices", {"pair": pair})
    shop.tell("the source speaks again")
    await shop.order(assets=["ETH"])


async def dead_webhook(shop: Shop) -> None:
    """The merchant's server is away: deliveries wait and are tried again, the invoice settles."""
    endpoint = await shop.ask("POST", "/webhook_endpoints", {"url": DEAD_URL, "events": ["*"]})
    try:
        await shop.order()
        await shop.pay(asset="USDC")
        await shop.mine()
        await shop.until_status("settled")
        found = await shop.ask("GET", f"/webhook_endpoints/{endpoint['id']}/deliveries")
        waiting = [d for d in found["data"] if d["status"] == "pending"]
        shop.tell(f"{len(waiting)} deliveries wait for their next attempt")
    finally:
        await shop.ask("DELETE", f"/webhook_endpoints/{endpoint['id']}")


SCENARIOS: dict[str, Callable[[Shop], Awaitable[None]]] = {
    story.__name__: story
    for story in (
        underpaid, overpaid, late, twice, wrong_token, contract_eth, reorg_before_settlement,
        reorg_after_settlement, stale_oracle, dead_webhook,
    )
}  # fmt: skip
NOT_AVAILABLE = frozenset({"binance_1007", "binance_1007_after_fill"})


async def play(name: str, url: str, key: str) -> dict[str, Any]:
    """Plays one story; returns its steps and the invoice at its end. Raises Refused."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        shop = Shop(url, key, session)
        await SCENARIOS[name](shop)
    return {"scenario": name, "steps": shop.steps, "invoice": shop.invoice}
