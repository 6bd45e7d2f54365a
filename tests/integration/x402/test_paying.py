"""A request is sold to x402's own payer through its own middleware, and the books say so."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx

from tests.integration.x402.shop import UNITS, Shop


def settled(answer: httpx.Response) -> Any:
    """The header that the payer gets."""
    return json.loads(base64.b64decode(answer.headers["payment-response"]))


async def test_a_paid_request_brings_the_resource_and_the_money(shop: Shop) -> None:
    payer = await shop.payer()
    first, second = await shop.buy(payer, times=2)
    assert (first.status_code, first.json()) == (200, {"report": "rain"})
    assert second.status_code == 200
    receipt = settled(first)
    assert receipt["success"] is True
    assert receipt["transaction"] != settled(second)["transaction"]
    mined = await shop.world.node.receipt(receipt["transaction"])
    assert mined["status"] == "0x1"
    found = (await shop.get("x402/settlements"))["data"]
    assert [one["status"] for one in found] == ["done", "done"]
    invoice = await shop.get(f"invoices/{found[1]['invoice']}")
    assert (invoice["status"], invoice["reference"]) == ("settled", found[1]["id"])
    assert await shop.world.events(invoice["id"]) == [
        "invoice.created", "invoice.processing", "invoice.settled"
    ]  # fmt: skip
    balances = await shop.world.balances()
    assert balances["available", "USDC"] == -2 * UNITS
    assert balances[f"network:{shop.network.id}:deposits", "USDC"] == 2 * UNITS
    await shop.world.assert_books_match_the_chain()


async def test_a_merchant_who_takes_fiat(shop: Shop) -> None:
    async with shop.world.context.database.statement() as connection:
        await connection.execute(
            "update merchants set settle_in = 'fiat_at_quote', settle_currency = 'EUR'"
        )
    receipt = settled((await shop.buy(await shop.payer()))[0])
    assert receipt["success"] is True
    balances = await shop.world.balances()
    assert ("available", "USDC") not in balances
    assert balances["available", "EUR"] == -454  # five dollars at 1.10, rounded down


async def test_it_says_what_it_supports(shop: Shop) -> None:
    found = await shop.get("x402/supported")
    assert {"x402Version": 2, "scheme": "exact", "network": shop.network.id} in found["kinds"]
    assert [one.lower() for one in found["signers"]["eip155:*"]] == list(shop.signer.keys)


async def test_what_comes_outside_of_a_settlement_waits_in_the_inbox(shop: Shop) -> None:
    await shop.world.transfer("USDC", shop.accepts["payTo"], 7_000_000)
    [answer] = await shop.buy(await shop.payer())
    assert answer.status_code == 200
    balances = await shop.world.balances()
    assert balances["inbox", "USDC"] == -7_000_000
    assert balances["available", "USDC"] == -UNITS
    stray, paid = sorted((await shop.get("deposits"))["data"], key=lambda d: d["id"])
    assert (stray["amount"], paid["inbox"]) == ("7.000000", None)
    assert stray["inbox"]["reason"] == "unexpected_network"
    await shop.world.assert_books_match_the_chain()
