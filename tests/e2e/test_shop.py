"""The main job as a merchant's developer meets it: docs/first-payment.md in code, over HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from playwright.async_api import async_playwright, expect

from tests.e2e.town import (
    Chains,
    Client,
    Receiver,
    Refusal,
    Town,
    listening,
    new_merchant,
    open_api,
    open_chains,
    units,
)

CHROMIUM = shutil.which("chromium")
ASSETS = ("ETH", "USDC", "USDT", "DAI", "T24", "BLK")
STORY = ["created", "seen", "processing", "confirmed", "settled"]


class Shop:
    """A merchant of a test's own, its customers and its server."""

    def __init__(
        self, client: Client, operator: Client, chains: Chains, receiver: Receiver
    ) -> None:
        self.client = client
        self.operator = operator
        self.chains = chains
        self.receiver = receiver

    async def settled(self, invoice: Any, exception: str = "none") -> Any:
        """After enough blocks."""
        await self.chains.mine()
        return await self.client.becomes(invoice, "settled", exception)

    async def inbox(self, reason: str) -> Any:
        """The one deposit that fits no invoice, confirmed, for this reason."""
        await self.chains.mine()
        found = await self.client.shows(
            "/v1/deposits?matched=false",
            lambda page: [d["status"] for d in page["data"]] == ["confirmed"],
        )
        assert found["data"][0]["inbox"]["reason"] == reason
        return found["data"][0]

    async def balances(self) -> dict[str, Any]:
        """Asset -> available, pending, inbox; what is zero is left out."""
        rows = (await self.client.get("/v1/balances"))["data"]
        found = {
            r["asset"]: tuple(Decimal(r[k]) for k in ("available", "pending", "inbox"))
            for r in rows
        }
        return {asset: three for asset, three in found.items() if any(three)}

    async def pass_time(self, seconds: int) -> None:
        await self.operator.post("/v1/sandbox/clock", {"advance_seconds": seconds})


@pytest.fixture
async def shop(sandbox: Town) -> AsyncIterator[Shop]:
    async with open_api(sandbox.ready) as (_, operator), open_chains(sandbox.ready) as chains:
        client = await new_merchant(operator, "Lamp shop")
        async with listening(client) as receiver:
            yield Shop(client, operator, chains, receiver)


def dec(amount: str) -> Decimal:
    return Decimal(amount)


@pytest.mark.parametrize("asset", ASSETS)
async def test_paid_exactly_and_told(shop: Shop, asset: str) -> None:
    """From the order to the books, on either network."""
    network = ASSETS.index(asset) % 2
    invoice = await shop.client.invoice(reference="order-1001", metadata={"cart": "c-77"})
    option = shop.chains.option(invoice, asset, network)
    await shop.chains.pay(invoice, asset, network=network)
    paid = await shop.settled(invoice)
    assert (paid["amount_paid"], paid["amount_confirmed"], paid["amount_due"]) == (
        "25.00", "25.00", "0.00",
    )  # fmt: skip
    assert (paid["reference"], paid["metadata"]) == ("order-1001", {"cart": "c-77"})
    (deposit,) = paid["deposits"]
    assert (deposit["asset"], deposit["amount"]) == (asset, option["amount"])
    assert (deposit["to"], deposit["invoice"]) == (option["address"], invoice["id"])
    assert await shop.balances() == {asset: (dec(option["amount"]), 0, 0)}

    await shop.receiver.hears(lambda heard: len(heard) == len(STORY))
    assert [e["type"].partition(".")[2] for e in shop.receiver.received] == STORY
    assert shop.receiver.received[-1]["data"]["object"]["reference"] == "order-1001"
    entries = await shop.client.every(f"/v1/ledger/entries?reference={deposit['id']}")
    assert [e["kind"] for e in entries] == ["deposit_confirmed", "deposit_seen"]
    assert entries[1]["evidence"]["tx_hash"] == deposit["tx_hash"]
    for entry in entries:
        assert sum(dec(p["amount"]) for p in entry["postings"]) == 0


async def test_the_fee_token_is_credited_with_what_arrived(shop: Shop) -> None:
    invoice = await shop.client.invoice("100.00")
    await shop.chains.pay(invoice, "FEE")
    await shop.client.becomes(invoice, "new", "paid_partial")
    await shop.chains.pay(invoice, "FEE", 2 * 10**18)
    paid = await shop.settled(invoice, "paid_over")
    assert paid["amount_paid"] == "100.98"
    assert await shop.balances() == {"FEE": (dec("100.98"), 0, 0)}


async def test_a_contract_pays(shop: Shop) -> None:
    """ETH moved inside a call, as exchanges and Safes send it."""
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "ETH", contract=True)
    paid = await shop.settled(invoice)
    assert paid["deposits"][0]["position"].startswith("trace:")


async def test_a_part_then_the_rest(shop: Shop) -> None:
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "USDC", 10 * 10**6)
    part = await shop.client.becomes(invoice, "new", "paid_partial")
    assert (part["amount_paid"], part["amount_due"]) == ("10.00", "15.00")
    assert shop.chains.option(part, "DAI")["amount_due"] == "15.000000000000000000"
    await shop.chains.pay(part, "DAI", network=1)
    await shop.settled(invoice)
    assert await shop.balances() == {"USDC": (10, 0, 0), "DAI": (15, 0, 0)}


async def test_too_much(shop: Shop) -> None:
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "USDC", 30 * 10**6)
    paid = await shop.settled(invoice, "paid_over")
    assert paid["deposits"][0]["inbox"]["reason"] == "overpaid"
    assert await shop.balances() == {"USDC": (30, 0, 0)}


async def test_too_late_then_credited(shop: Shop) -> None:
    invoice = await shop.client.invoice(expires_in=60)
    await shop.pass_time(120)
    await shop.client.becomes(invoice, "expired")
    await shop.chains.pay(invoice, "USDT")
    deposit = await shop.inbox("late")
    assert await shop.balances() == {"USDT": (0, 0, 25)}
    late = await shop.client.becomes(invoice, "expired", "paid_late")
    assert late["amount_paid"] == "0.00"
    await shop.client.post(f"/v1/deposits/{deposit['id']}/resolve", {"action": "credit"})
    credited = await shop.client.becomes(invoice, "settled", "paid_late")
    assert credited["amount_paid"] == "25.00"
    assert await shop.balances() == {"USDT": (25, 0, 0)}


async def test_another_asset_than_offered(shop: Shop) -> None:
    invoice = await shop.client.invoice(assets=["USDC"], networks=shop.chains.networks[:1])
    assert [o["asset"] for o in invoice["payment_options"]] == ["USDC"]
    await shop.chains.pay(invoice, "DAI", 25 * 10**18)
    deposit = await shop.inbox("unexpected_asset")
    await shop.client.post(f"/v1/deposits/{deposit['id']}/resolve", {"action": "ignore"})
    assert (await shop.client.get("/v1/deposits?matched=false"))["data"] == []
    assert await shop.balances() == {"DAI": (0, 0, 25)}
    assert (await shop.client.get(f"/v1/invoices/{invoice['id']}"))["status"] == "new"


async def test_on_another_network_than_offered(shop: Shop) -> None:
    """The address is the same everywhere, so the money is found and not lost."""
    invoice = await shop.client.invoice(assets=["USDC"], networks=shop.chains.networks[:1])
    await shop.chains.pay(invoice, "USDC", 25 * 10**6, network=1)
    deposit = await shop.inbox("unexpected_network")
    assert deposit["network"] == shop.chains.networks[1]
    assert await shop.balances() == {"USDC": (0, 0, 25)}


async def test_marked_and_cancelled(shop: Shop) -> None:
    cash = await shop.client.invoice()
    marked = await shop.client.post(
        f"/v1/invoices/{cash['id']}/mark", {"status": "settled", "reason": "paid in cash"}
    )
    assert (marked["status"], marked["exception"]) == ("settled", "marked")
    unwanted = await shop.client.invoice()
    cancelled = await shop.client.post(f"/v1/invoices/{unwanted['id']}/cancel")
    assert (cancelled["status"], cancelled["exception"]) == ("expired", "marked")
    listed = await shop.client.every("/v1/invoices")
    assert [i["id"] for i in listed] == [unwanted["id"], cash["id"]]


async def test_a_timeline_names_every_fact(shop: Shop) -> None:
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "USDC")
    await shop.settled(invoice)
    await shop.receiver.hears(lambda heard: len(heard) == len(STORY))
    lines = (
        await shop.client.shows(
            f"/v1/invoices/{invoice['id']}/timeline",
            lambda page: sum(line["kind"] == "delivery" for line in page["data"]) == len(STORY),
        )
    )["data"]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    events = [line["type"].partition(".")[2] for line in lines if line["kind"] == "event"]
    assert events == STORY
    assert sum(line["kind"] == "entry" for line in lines) == 2


async def test_the_same_order_twice_is_one(shop: Shop) -> None:
    """Sent again after a lost answer, also at the same time: one invoice, the same bytes."""
    order = {"amount": "25.00", "currency": "EUR", "reference": "order-7"}
    first = await shop.client.answer("POST", "/v1/invoices", order, once="order-7")
    again = await shop.client.answer("POST", "/v1/invoices", order, once="order-7")
    assert (first[0], again[0], first[2]) == (201, 201, again[2])
    assert again[1]["Idempotency-Replayed"] == "true"
    with pytest.raises(Refusal, match="idempotency_mismatch"):
        await shop.client.post("/v1/invoices", {**order, "amount": "26.00"}, once="order-7")
    shop.client.patient = True
    many = await asyncio.gather(
        *(shop.client.post("/v1/invoices", order, once="order-8") for _ in range(8))
    )
    assert len({invoice["id"] for invoice in many}) == 1
    assert len(await shop.client.every("/v1/invoices?reference=order-7")) == 2


async def test_feed_and_stream_tell_the_same(shop: Shop) -> None:
    last = (await shop.operator.every("/v1/events"))[-1]["id"]
    await shop.client.shows("/v1/events", lambda page: page["data"] == [])
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "USDC")
    await shop.settled(invoice)
    await shop.client.shows("/v1/events", lambda page: len(page["data"]) == len(STORY))
    page = await shop.client.get("/v1/events?limit=100")
    assert last not in {event["id"] for event in page["data"]}
    streamed = await shop.client.stream(0, int(page["next_cursor"]))
    assert [body["id"] for _, _, body in streamed] == [event["id"] for event in page["data"]]
    assert [kind.partition(".")[2] for _, kind, _ in streamed] == STORY
    resumed = await shop.client.stream(streamed[2][0], streamed[-1][0])
    assert resumed == streamed[3:]
    settled = await shop.client.every("/v1/events?type=invoice.settled")
    assert [event["id"] for event in settled] == [page["data"][-1]["id"]]


async def test_the_books_prove_themselves(shop: Shop) -> None:
    """What the operator sees of this merchant is what stands on its addresses."""
    invoice = await shop.client.invoice()
    await shop.chains.pay(invoice, "ETH", network=1)
    await shop.settled(invoice)
    address = {invoice["payment_options"][0]["address"]}
    held = await shop.chains.held(shop.chains.networks[1], "ETH", address)
    accounts = await shop.client.every("/v1/ledger/accounts?prefix=merchant:")
    assert sum(units(account["balance"]) for account in accounts) == -held

    def whole(report: Any) -> bool:
        return bool(report["ok"]) and report["pending"] == 0

    assert (await shop.operator.shows("/v1/ledger/verify", whole))["problems"] == []


async def test_a_customer_pays_at_the_checkout(shop: Shop) -> None:
    """The page follows a real payment, live, until it says that it is paid."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("page tests need Debian's package chromium")
        pytest.skip("page tests need Debian's package chromium")
    invoice = await shop.client.invoice(networks=shop.chains.networks[:1])
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = await browser.new_page()
        expect.set_options(timeout=30_000)
        await page.goto(invoice["checkout_url"])
        await expect(page.get_by_role("heading", name="Waiting for your payment")).to_be_visible()
        await page.get_by_text("USDC").first.click()
        await expect(page.locator(".panel:visible .amount")).to_have_text("25.00 USDC")
        assert invoice["payment_options"][0]["address"] in await page.content()
        await shop.chains.pay(invoice, "USDC")
        await expect(page.get_by_role("heading", name="Payment seen")).to_be_visible()
        await expect(page.get_by_role("progressbar", name="1 of 3 confirmations")).to_be_visible()
        await shop.chains.mine(1)
        await expect(page.get_by_role("progressbar", name="2 of 3 confirmations")).to_be_visible()
        await shop.chains.mine(1)
        await expect(page.get_by_role("heading", name="Paid")).to_be_visible()
        await browser.close()
