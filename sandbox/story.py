"""What a scenario is told with: a merchant's own code, and what it saw."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.errors import Unavailable
from sandbox.shop import Shop, enter
from sandbox.state import OPERATOR_KEY

PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.1
CONFIRMED = 3


class Story:
    """A shop, its one invoice, and what happened so far. `approver_key`: a file, for whoever
    approves; its content stays out of this process."""

    def __init__(self, shop: Shop, approver_key: Path) -> None:
        self.shop = shop
        self._approver_key = approver_key
        self.steps: list[str] = []
        self.invoice: dict[str, Any] = {}

    def tell(self, text: str) -> None:
        self.steps.append(text)

    async def order(self, amount: str = "25.00", **more: Any) -> dict[str, Any]:
        body = {"amount": amount, "currency": "USD", **more}
        self.invoice = await self.shop.post("/invoices", body)
        self.tell(f"an invoice over {amount} {body['currency']}: {self.invoice['id']}")
        return self.invoice

    async def pay(self, **how: Any) -> dict[str, Any]:
        paid = await self.shop.post("/sandbox/pay", {"invoice": self.invoice["id"], **how})
        self.tell(f"{paid['amount']} {paid['asset']} sent in {paid['tx_hash']}")
        return paid

    async def mine(self, blocks: int = CONFIRMED) -> None:
        await self.shop.post("/sandbox/mine", {"blocks": blocks})
        self.tell(f"{blocks} blocks mined")

    async def reorg(self, depth: int) -> None:
        await self.shop.post("/sandbox/reorg", {"depth": depth, "keep_transactions": False})
        self.tell(f"the last {depth} blocks replaced, their transactions gone")

    async def until(self, what: str, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Raises Unavailable when the invoice does not get there in time."""
        path = f"/invoices/{self.invoice['id']}"
        self.invoice = await self.wait(path, f"the invoice is {what}", true)
        return self.invoice

    async def wait(
        self,
        path: str,
        told: str,
        true: Callable[[dict[str, Any]], bool],
        shop: Shop | None = None,
    ) -> dict[str, Any]:
        """Until what is at `path` is so; then that is told. Raises Unavailable."""
        shop = shop or self.shop
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while not true(found := await shop.get(path)):
            if loop.time() > deadline:
                state = ", ".join(
                    str(found[k]) for k in ("status", "exception", "reasons") if k in found
                )
                raise Unavailable(f"not within {PATIENCE_SECONDS} s: {told} ({state})")
            await asyncio.sleep(LOOK_SECONDS)
        self.tell(told)
        return found

    async def until_status(self, status: str, exception: str = "none") -> dict[str, Any]:
        what = status if exception == "none" else f"{status} ({exception})"
        return await self.until(
            what, lambda i: i["status"] == status and i["exception"] == exception
        )

    async def earn(self, amount: str, asset: str = "ETH") -> None:
        """The merchant has something that can leave."""
        await self.order(amount, currency=asset, assets=[asset])
        await self.pay(asset=asset)
        await self.mine()
        await self.until_status("settled")

    async def pay_out(self, amount: str, asset: str = "ETH") -> dict[str, Any]:
        """To somebody who was never paid before."""
        payout = await self.shop.post(
            "/payouts",
            {
                "amount": amount,
                "asset": asset,
                "network": self.invoice["payment_options"][0]["network"],
                "address": somebody(),
            },
        )
        self.tell(f"{amount} {asset} are to leave: {payout['id']}")
        return payout

    async def leaves(self, path: str) -> dict[str, Any]:
        """Sent, mined and buried: a payout or a refund, whichever is at `path`."""
        await self.wait(
            path,
            "signed, sent and in a block",
            lambda p: any(t["status"] == "mined" for t in p["transactions"]),
        )
        await self.mine()
        return await self.wait(path, "paid, and the books say so", lambda p: p["status"] == "paid")

    @asynccontextmanager
    async def house(self) -> AsyncIterator[Shop]:
        """What only the house may do: with the sandbox's operator key."""
        key = self._approver_key.with_name(OPERATOR_KEY).read_text()
        async with enter(self.shop.url, key) as house:
            yield house

    async def approve(self, payout: str) -> None:
        """As a person does, in a process of their own. Raises Unavailable."""
        await approve(self.shop, payout, self._approver_key)
        self.tell("an approver reads what it pays to whom, and signs that with a key of their own")


def somebody() -> str:
    """An address that nobody has used."""
    return "0x" + secrets.token_hex(20)


async def approve(shop: Shop, payout: str, key: Path) -> None:
    """`bezant approve`. Raises Unavailable with what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bezant.cli", "approve", payout, "--yes", "--json"),
        *("--key", str(key), "--url", shop.url),
        env={**os.environ, "BEZANT_API_KEY": shop.key},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise Unavailable(f"bezant approve: {said.decode().strip()}")
