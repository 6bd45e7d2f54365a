"""An open page follows its invoice by itself."""

from __future__ import annotations

import re
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, expect

from core.clock import wall
from tests.browser.conftest import Visit
from tests.browser.shop import CHECKSUMMED, HEAD, Shop

CENT_OF_ETHER = 10**16  # 25.00 USD


def seconds_shown(page: Page) -> int:
    minutes, seconds = page.locator("[data-clock]").inner_text().split(":")
    return int(minutes) * 60 + int(seconds)


def test_from_waiting_over_a_part_and_confirmations_to_paid(visit: Visit, shop: Shop) -> None:
    invoice = shop.invoice()
    page = visit(shop.link(invoice))
    page.get_by_text("USDC").first.click()
    expect(page.locator(".panel:visible .amount")).to_have_text("25.00 USDC")

    part = shop.deposit(invoice, CENT_OF_ETHER // 2, value=1250)
    shop.change(invoice, exception="paid_partial", amount_paid=1250)
    expect(page.get_by_role("heading", name="Part of it has arrived")).to_be_visible()
    # what the payer chose stays chosen
    expect(page.locator(".panel:visible .amount")).to_have_text("12.50 USDC")
    expect(page.get_by_role("status")).to_contain_text("12.50 USD of 25.00 USD received")

    rest = shop.deposit(invoice, CENT_OF_ETHER // 2, value=1250)
    shop.change(invoice, status="processing", exception="none", amount_paid=2500)
    expect(page.get_by_role("heading", name="Payment seen")).to_be_visible()
    bar = page.get_by_role("progressbar", name="1 of 3 confirmations")
    expect(bar).to_have_attribute("aria-valuenow", "1")
    assert CHECKSUMMED not in page.content()

    shop.block(HEAD + 1)
    expect(page.get_by_role("progressbar", name="2 of 3 confirmations")).to_be_visible()
    expect(page.get_by_text("usually about 12 seconds more")).to_be_visible()

    for deposit in (part, rest):
        shop.change_deposit(deposit, status="confirmed", waiting_for=None, confirmed_at=wall())
    shop.change(invoice, status="settled", amount_confirmed=2500)
    expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    expect(page).to_have_title("Paid · Fern & Field <Coffee>")
    expect(page.get_by_role("link", name="Return to")).to_be_visible()

    # the chain takes it back after all
    shop.change_deposit(rest, status="orphaned", waiting_for=None)
    shop.change(invoice, status="new", exception="reversed", amount_paid=1250)
    expect(page.get_by_role("heading", name="The network took the payment back")).to_be_visible()


def test_counts_down_by_the_servers_clock(browser: Browser, visit: Visit, shop: Shop) -> None:
    """The visitor's own clock is years off; the test clock moves the deadline."""
    page = visit(shop.link(shop.invoice(seconds=600)))
    page.clock.set_system_time("2001-01-01T00:00:00Z")
    page.reload()
    expect(page.locator("[data-clock]")).to_have_text(re.compile("^(10:00|09:5[0-9])$"))

    shop.advance(300)
    expect(page.locator("[data-clock]")).to_have_text(re.compile("^(05:00|04:[45][0-9])$"))
    before = seconds_shown(page)
    expect(page.locator("[data-clock]")).not_to_have_text(page.locator("[data-clock]").inner_text())
    assert seconds_shown(page) in (before - 1, before - 2)


def test_stops_asking_for_money_when_the_time_is_up(visit: Visit, shop: Shop) -> None:
    invoice = shop.invoice(seconds=900)
    page = visit(shop.link(invoice))
    expect(page.get_by_role("heading", name="Waiting for your payment")).to_be_visible()

    shop.advance(899)
    # nobody notifies at the deadline itself
    expect(page.get_by_role("heading", name="Time is up")).to_be_visible()
    assert CHECKSUMMED not in page.content()
    shop.change(invoice, status="expired")
    expect(page.get_by_role("heading", name="This invoice has expired")).to_be_visible()


def test_the_stream_ends_with_the_invoice(visit: Visit, shop: Shop) -> None:
    """Once nobody watches the address any more, nothing will ever be said again."""
    invoice = shop.invoice(seconds=-90, status="expired", monitored_until=wall())
    with urlopen(shop.link(invoice) + "/events", timeout=5) as stream:  # noqa: S310
        said = stream.read().decode()  # returns because the stream ends
    assert said.count("event: state") == 1
    assert said.rstrip().endswith("data: {}\r\nretry: 2000")
    asked: list[str] = []
    page = visit(shop.link(invoice))
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.locator("html.js")).to_be_attached()
    assert asked
    assert not [url for url in asked if url.endswith("/events")]


def test_says_that_the_connection_is_lost_and_polls(browser: Browser, shop: Shop) -> None:
    invoice = shop.invoice()
    context = browser.new_context()
    page = context.new_page()
    page.route("**/events", lambda route: route.abort())
    page.goto(shop.link(invoice))
    expect(page.get_by_text("Connection lost. Trying again…")).to_be_visible()

    shop.deposit(invoice, CENT_OF_ETHER)
    shop.change(invoice, status="processing", amount_paid=2500)
    expect(page.get_by_role("heading", name="Payment seen")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("Connection lost")).to_be_hidden()

    page.unroute("**/events")
    with page.expect_response("**/events", timeout=15_000):
        pass  # it came back by itself
    shop.change(invoice, status="settled", amount_confirmed=2500)
    expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    context.close()
