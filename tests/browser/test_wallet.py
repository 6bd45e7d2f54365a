"""Paying with a wallet of the browser: every way, and every way that it is declined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core import ids
from tests.browser.counter import Counter, Purse, open_counter
from tests.conftest import other_database
from tests.world import calldata, chain

Open = Callable[[dict[str, Any], Purse], Page]


@pytest.fixture(scope="module")
def counter(server_url: str, template: str) -> Iterator[Counter]:
    name = f"t_{ids.new().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    with chain(31337) as first, open_counter(other_database(server_url, name), first) as opened:
        yield opened
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def open_page(browser: Browser, counter: Counter) -> Iterator[Open]:
    """The page stays on our host and the browser has nothing to say against it (CSP)."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def go(invoice: dict[str, Any], purse: Purse) -> Page:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: problems.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on(
            "request",
            lambda one: None if one.url.startswith(counter.url) else problems.append(one.url),
        )
        purse.install(page)
        page.goto(counter.link(invoice))
        return page

    yield go
    for context in contexts:
        context.close()
    # what a wallet or the server refuses is answered on the page; the browser notes the status
    assert [p for p in problems if "the server responded with a status of 4" not in p] == []


def fund(counter: Counter, purse: Purse, *, ether: int = 10**18, usdc: int = 100 * 10**6) -> None:
    node, tokens = counter.till.world.node, counter.till.world.contracts.tokens
    counter.run(node.rpc("anvil_setBalance", purse.account.address, hex(ether)))
    for symbol in ("USDC", "USDT"):
        data = calldata("mint(address,uint256)", purse.account.address, usdc)
        counter.run(node.send(tokens[symbol].address, data=data, gas=200_000))


def choose(page: Page, asset: str) -> None:
    page.locator(".choice", has_text=asset).first.click()
    page.locator(".panel:visible").get_by_role("button", name="Pay with Test <Wallet>").click()


def seen(page: Page) -> None:
    expect(page.get_by_role("heading", name="Payment seen")).to_be_visible(timeout=15_000)


def told(page: Page, text: str) -> None:
    expect(page.locator(".panel:visible .wallet .notice")).to_contain_text(text, timeout=15_000)


def deposits(counter: Counter, invoice: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = counter.run(counter.till.world.show(invoice))["deposits"]
    return found


def test_ether(counter: Counter, open_page: Open) -> None:
    purse, invoice = counter.purse(), counter.run(counter.till.world.invoice())
    fund(counter, purse)
    page = open_page(invoice, purse)
    choose(page, "ETH")
    seen(page)
    [deposit] = deposits(counter, invoice)
    assert (deposit["asset"], deposit["from"]) == ("ETH", purse.account.address)
    assert "eth_signTypedData_v4" not in purse.asked


def test_dollars_without_ether(counter: Counter, open_page: Open) -> None:
    """Signed, carried by our relayer: the payer needs no coin for gas."""
    purse, invoice = counter.purse(), counter.run(counter.till.world.invoice())
    fund(counter, purse, ether=0)
    page = open_page(invoice, purse)
    choose(page, "USDC")
    seen(page)
    [deposit] = deposits(counter, invoice)
    assert (deposit["asset"], deposit["from"]) == ("USDC", purse.account.address)
    assert "eth_sendTransaction" not in purse.asked


def test_dollars_by_permit_where_nothing_is_relayed(counter: Counter, open_page: Open) -> None:
    """The limits are reached: the same button goes on by itself."""
    purse, invoice = counter.purse(), counter.run(counter.till.world.invoice())
    fund(counter, purse)
    context = counter.till.world.context
    network = context.catalog.networks["eip155:31337"]
    assert network.relay is not None
    context.catalog.networks[network.id] = replace(
        network, relay=replace(network.relay, per_hour=0)
    )
    page = open_page(invoice, purse)
    choose(page, "USDC")
    seen(page)
    context.catalog.networks[network.id] = network
    assert purse.asked.count("eth_signTypedData_v4") == 2
    assert purse.asked.count("eth_sendTransaction") == 1


@pytest.mark.parametrize("before", [0, 5])
def test_a_token_that_is_only_approved(counter: Counter, open_page: Open, before: int) -> None:
    """Tether's way, also where another amount was allowed before."""
    purse, invoice = counter.purse(), counter.run(counter.till.world.invoice())
    fund(counter, purse)
    if before:
        world = counter.till.world
        data = calldata("approve(address,uint256)", world.contracts.router, before)
        call = {"from": purse.account.address, "to": world.contracts.tokens["USDT"].address}
        purse._send({**call, "value": "0x0", "data": data})
    page = open_page(invoice, purse)
    choose(page, "USDT")
    seen(page)
    assert purse.asked.count("eth_sendTransaction") == (3 if before else 2)
    assert deposits(counter, invoice)[0]["asset"] == "USDT"


def test_a_wallet_that_signs_no_data(counter: Counter, open_page: Open) -> None:
    purse = counter.purse(cannot={"eth_signTypedData_v4"})
    invoice = counter.run(counter.till.world.invoice())
    fund(counter, purse)
    page = open_page(invoice, purse)
    choose(page, "USDC")
    seen(page)
    assert purse.asked.count("eth_sendTransaction") == 2


@pytest.mark.parametrize(
    "method", ["eth_requestAccounts", "eth_signTypedData_v4", "wallet_switchEthereumChain"]
)
def test_declined_and_tried_again(counter: Counter, open_page: Open, method: str) -> None:
    purse = counter.purse(declines={method}, chain_id=1)
    invoice = counter.run(counter.till.world.invoice())
    fund(counter, purse)
    page = open_page(invoice, purse)
    choose(page, "USDC")
    told(page, "You declined in your wallet. Nothing was paid.")
    assert deposits(counter, invoice) == []
    purse.declines.clear()
    page.locator(".panel:visible").get_by_role("button", name="Pay with Test <Wallet>").click()
    seen(page)


def test_a_network_that_the_wallet_does_not_know(counter: Counter, open_page: Open) -> None:
    purse = counter.purse(chain_id=1, known={1})
    invoice = counter.run(counter.till.world.invoice())
    fund(counter, purse)
    page = open_page(invoice, purse)
    choose(page, "ETH")
    seen(page)
    assert "wallet_addEthereumChain" in purse.asked


def test_not_enough(counter: Counter, open_page: Open) -> None:
    purse, invoice = counter.purse(), counter.run(counter.till.world.invoice())
    fund(counter, purse, ether=10**15, usdc=10**6)
    page = open_page(invoice, purse)
    for asset in ("ETH", "USDC"):
        choose(page, asset)
        told(page, f"There is not enough {asset} in this account on Anvil 31337.")
    assert "eth_sendTransaction" not in purse.asked
    assert "eth_signTypedData_v4" not in purse.asked


def test_beside_the_address_and_only_where_there_is_a_wallet(
    browser: Browser, counter: Counter, open_page: Open
) -> None:
    invoice = counter.run(counter.till.world.invoice())
    page = open_page(invoice, counter.purse())
    expect(page.locator(".panel:visible").get_by_text("Copy").first).to_be_visible()
    expect(page.locator(".panel:visible .wallet button")).to_have_text("Pay with Test <Wallet>")
    page.locator(".choice", has_text="FEE").first.click()  # gets no quote: no button
    expect(page.locator(".panel:visible .wallet")).to_have_count(0)
    plain = browser.new_context().new_page()
    plain.goto(counter.link(invoice))
    expect(plain.locator(".panel:visible .wallet")).to_be_hidden()
    plain.context.close()
