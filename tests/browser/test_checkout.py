"""What the payer sees of an invoice, with a real browser on real pages."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import segno
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Visit
from tests.browser.shop import CHECKSUMMED, HEAD, USDC, Shop
from wallets.addresses import checksum

DESKTOP = {"width": 1280, "height": 900}
ETHER = 10**18
CENT_OF_ETHER = ETHER // 100  # 25.00 USD
SHOWN_QR = ".panel:visible .shown:visible path"


def drawn(text: str) -> str:
    """The path that draws a QR code of `text`, row by row, as segno writes it."""
    svg = segno.make(text, error="m", micro=False).svg_inline(omitsize=True)
    return svg.partition(' d="')[2].partition('"')[0]


def choose(page: Page, asset: str, network: str) -> None:
    page.locator("label.choice", has_text=asset).filter(has_text=network).click()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP, {"width": 360, "height": 640}])
def test_says_what_to_pay_for_ether(visit: Visit, shop: Shop, viewport: dict[str, int]) -> None:
    page = visit(shop.link(shop.invoice()), viewport=viewport)

    expect(page.get_by_role("heading", level=1)).to_have_text("25.00 USD")
    expect(page.get_by_text("Fern & Field <Coffee>")).to_be_visible()
    expect(page.get_by_text("Two bags of house espresso")).to_be_visible()
    expect(page.get_by_text("order-1001")).to_be_visible()
    panel = page.locator(".panel:visible")
    expect(panel.locator(".amount")).to_have_text("0.01 ETH")
    expect(panel.locator(".address code")).to_have_text(CHECKSUMMED)
    expect(panel.get_by_text("Send only ETH, and only on Ethereum.")).to_be_visible()
    expect(panel.get_by_text("1 ETH = 2,500.00 USD · Chainlink, 4 s old")).to_be_visible()
    uri = f"ethereum:{CHECKSUMMED}@31337?value={CENT_OF_ETHER}"
    expect(panel.get_by_role("link", name="Open in wallet")).to_have_attribute("href", uri)
    assert page.locator(SHOWN_QR).get_attribute("d") == drawn(uri)
    assert "own business" not in page.content()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide == viewport["width"], "nothing sticks out"


def test_a_token_is_asked_for_by_its_contract_or_by_address_alone(visit: Visit, shop: Shop) -> None:
    page = visit(shop.link(shop.invoice()))
    choose(page, "USDC", "Base")

    panel = page.locator(".panel:visible")
    expect(panel.locator(".amount")).to_have_text("25.00 USDC")
    uri = f"ethereum:{checksum(USDC)}@31338/transfer?address={CHECKSUMMED}&uint256=25000000"
    expect(panel.get_by_role("link", name="Open in wallet")).to_have_attribute("href", uri)
    assert page.locator(SHOWN_QR).get_attribute("d") == drawn(uri)
    panel.get_by_text("Address only", exact=True).click()
    assert page.locator(SHOWN_QR).get_attribute("d") == drawn(CHECKSUMMED)
    expect(panel.get_by_text("type 25.00 yourself")).to_be_visible()


def test_without_javascript_everything_to_pay_is_there(visit: Visit, shop: Shop) -> None:
    page = visit(shop.link(shop.invoice()), java_script_enabled=False)

    panel = page.locator(".panel:visible")
    expect(panel.locator(".amount")).to_have_text("0.01 ETH")
    expect(page.get_by_text("Pay before")).to_be_visible()
    expect(page.get_by_role("link", name="Check for my payment")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    choose(page, "DAI", "Ethereum")
    expect(panel.locator(".amount")).to_have_text("25.00 DAI")
    expect(panel.locator(".address code")).to_have_text(CHECKSUMMED)
    panel.get_by_text("Address only", exact=True).click()
    assert page.locator(SHOWN_QR).get_attribute("d") == drawn(CHECKSUMMED)


def test_copies_in_one_piece_and_says_so(visit: Visit, shop: Shop) -> None:
    page = visit(shop.link(shop.invoice()), permissions=["clipboard-read", "clipboard-write"])
    clipboard = "navigator.clipboard.readText()"

    page.get_by_role("button", name="Copy amount").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate(clipboard) == "0.01"
    page.get_by_role("button", name="Copy address").click()
    expect(page.locator(".copied")).to_have_count(2)
    assert page.evaluate(clipboard) == CHECKSUMMED
    expect(page.locator(".copied")).to_have_count(0)
    selected = page.evaluate(
        "(code) => { getSelection().selectAllChildren(code); return getSelection().toString() }",
        page.locator(".panel:visible .address code").element_handle(),
    )
    assert selected == CHECKSUMMED, "copying by hand too"


def test_copies_where_the_clipboard_is_closed(visit: Visit, shop: Shop) -> None:
    """A shop on a home network without TLS has no navigator.clipboard."""
    page = visit(shop.link(shop.invoice()))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy address").click()
    expect(page.locator(".copied")).to_have_text("Copied")


def test_works_with_the_keyboard_alone(visit: Visit, shop: Shop) -> None:
    page = visit(shop.link(shop.invoice()), permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".panel:visible .amount")).to_have_text("25.00 USDC")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "25.00"


def test_the_rest_of_a_part_payment_is_asked_for_exactly(visit: Visit, shop: Shop) -> None:
    invoice = shop.invoice(exception="paid_partial", amount_paid=1250)
    shop.deposit(invoice, CENT_OF_ETHER // 2, value=1250)
    page = visit(shop.link(invoice))

    expect(page.get_by_text("12.50 USD of 25.00 USD received.")).to_be_visible()
    expect(page.get_by_role("heading", name="Amount still to pay")).to_be_visible()
    expect(page.locator(".panel:visible .amount")).to_have_text("0.005 ETH")
    uri = f"ethereum:{CHECKSUMMED}@31337?value={CENT_OF_ETHER // 2}"
    assert page.locator(SHOWN_QR).get_attribute("d") == drawn(uri)
    expect(page.get_by_text("1 of 3 confirmations")).to_be_visible()


SETTLED = {"status": "settled", "amount_paid": 2500, "amount_confirmed": 2500}
CONFIRMED = {"status": "confirmed", "block_number": HEAD - 2, "waiting_for": None}


@pytest.mark.parametrize(
    ("invoice", "deposit", "title", "said"),
    [
        (SETTLED, CONFIRMED, "Paid", "has received 25.00 USD"),
        (
            {**SETTLED, "exception": "paid_over", "amount_paid": 3000},
            {**CONFIRMED, "inbox_reason": "overpaid"},
            "Paid",
            "You sent more than was asked for",
        ),
        (
            {"status": "processing", "amount_paid": 2500},
            {"required": "finalized"},
            "Payment seen",
            "Waiting until the network calls it final",
        ),
        ({"seconds": -5}, None, "Time is up", "Please do not send anything now"),
        ({"seconds": -99, "status": "expired"}, None, "has expired", "Nothing was received"),
        (
            {"seconds": -99, "status": "expired", "exception": "paid_partial", "amount_paid": 1250},
            {**CONFIRMED, "inbox_reason": "partial"},
            "Expired, with a part paid",
            "Your money was received and Fern & Field <Coffee> has been told",
        ),
        (
            {"seconds": -99, "status": "expired", "exception": "paid_late"},
            {"inbox_reason": "late"},
            "Your payment came late",
            "Your money was received and Fern & Field <Coffee> has been told",
        ),
        (
            {"seconds": -99, "status": "expired", "exception": "reversed"},
            {"status": "orphaned"},
            "The network took the payment back",
            "Taken back by the network",
        ),
        (
            {"seconds": -99, "status": "invalid"},
            {"status": "orphaned"},
            "did not succeed",
            "No payment for this invoice stands",
        ),
        ({"status": "expired", "exception": "marked"}, None, "cancelled", "do not pay"),
    ],
)
def test_says_how_it_ended_and_shows_no_address_to_pay(
    visit: Visit,
    shop: Shop,
    invoice: dict[str, int | str],
    deposit: dict[str, int | str | None] | None,
    title: str,
    said: str,
) -> None:
    identifier = shop.invoice(**invoice)  # type: ignore[arg-type]
    if deposit is not None:
        shop.deposit(identifier, CENT_OF_ETHER, **deposit)
    page = visit(shop.link(identifier))

    expect(page.get_by_role("heading", level=2).first).to_contain_text(title)
    expect(page.get_by_text(said).first).to_be_visible()
    assert CHECKSUMMED not in page.content()
    expect(page.get_by_role("link", name="Return to")).to_have_count(1 if title == "Paid" else 0)


def test_a_payment_taken_back_in_time_can_be_made_again(visit: Visit, shop: Shop) -> None:
    invoice = shop.invoice(exception="reversed")
    shop.deposit(invoice, CENT_OF_ETHER, status="orphaned")
    page = visit(shop.link(invoice))
    expect(page.get_by_text("you can pay again below")).to_be_visible()
    expect(page.locator(".panel:visible .amount")).to_have_text("0.01 ETH")


def test_leads_back_to_the_shop_but_never_to_a_script(visit: Visit, shop: Shop) -> None:
    paid = shop.invoice(**SETTLED)  # type: ignore[arg-type]
    page = visit(shop.link(paid))
    back = page.get_by_role("link", name="Return to Fern & Field <Coffee>")
    expect(back).to_have_attribute("href", "https://shop.example/thanks")
    crooked = shop.invoice(**SETTLED, success_url="javascript:alert(1)")  # type: ignore[arg-type]
    page = visit(shop.link(crooked))
    expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    assert urlsplit("javascript:alert(1)").path not in page.content()
