"""Accessible, private and hard to misuse: what a visitor does not see."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from core import ids
from core.context import Limits
from tests.browser.conftest import Visit
from tests.browser.shop import HEAD, Shop, open_shop

CENT_OF_ETHER = 10**16  # 25.00 USD

# After axe-core's rules of the same names, for what our pages hold.
FLAWS = """() => {
  const flaws = [];
  const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const all = (s) => [...document.querySelectorAll(s)].filter(seen);
  const say = (rule, e) => flaws.push(`${rule}: ${e.outerHTML.slice(0, 120)}`);
  if (!document.documentElement.lang) flaws.push("html-has-lang");
  if (document.querySelectorAll("main").length !== 1) flaws.push("landmark-one-main");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) flaws.push("duplicate-id");
  for (const e of document.querySelectorAll("input")) if (!e.labels.length) say("label", e);
  for (const e of all("button, a"))
    if (!e.textContent.trim() && !e.ariaLabel) say("button-name", e);
  for (const e of all("button[aria-label]"))
    if (!e.ariaLabel.includes(e.textContent.trim())) say("label-content-name-mismatch", e);
  for (const e of all("svg"))
    if (e.ariaHidden !== "true" && !(e.role === "img" && e.ariaLabel)) say("svg-img-alt", e);
  for (const e of all("progress, [role=progressbar]"))
    if (e.ariaHidden !== "true" && !e.ariaLabel) say("aria-progressbar-name", e);
  let level = 0;
  for (const e of all("h1, h2, h3, h4")) {
    if (Number(e.tagName[1]) > level + 1) say("heading-order", e);
    level = Number(e.tagName[1]);
  }
  if (all("h1").length !== 1) flaws.push("page-has-heading-one");
  for (const e of all("button, a, label.choice, .code > label")) {
    const box = e.getBoundingClientRect();
    const inline = getComputedStyle(e).display === "inline";
    if (!inline && (box.width < 24 || box.height < 24)) say("target-size", e);
  }
  const rgba = (text) => {
    const n = text.match(/[0-9.]+/g).map(Number);
    return n.length === 3 ? [...n, 1] : n;
  };
  const ground = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] > 0) return color;
    }
    return [255, 255, 255, 1];
  };
  const light = (color) => {
    const [r, g, b] = color
      .slice(0, 3)
      .map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const e of all("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest("svg, .visually-hidden, noscript, script")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgba(style.color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) say(`color-contrast ${ratio.toFixed(2)}`, e);
  }
  return flaws;
}"""

STATES: dict[str, dict[str, Any]] = {
    "waiting": {},
    "partial": {"exception": "paid_partial", "amount_paid": 1250},
    "confirming": {"status": "processing", "amount_paid": 2500},
    "paid over": {"status": "settled", "exception": "paid_over", "amount_paid": 3000},
    "expired": {"status": "expired"},
    "late": {"status": "expired", "exception": "paid_late"},
    "invalid": {"status": "invalid"},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_operate_every_state(visit: Visit, shop: Shop, scheme: str) -> None:
    flaws = {}
    for name, columns in STATES.items():
        invoice = shop.invoice(**columns)
        if name not in ("waiting", "expired"):
            shop.deposit(invoice, CENT_OF_ETHER, block_number=HEAD - 1)
            shop.deposit(invoice, CENT_OF_ETHER, status="confirmed", inbox_reason="overpaid")
            shop.deposit(invoice, CENT_OF_ETHER, status="orphaned")
        page = visit(shop.link(invoice), color_scheme=scheme, reduced_motion="reduce")
        expect(page.locator("html.js")).to_be_attached()
        flaws[name] = page.evaluate(FLAWS)
    assert flaws == {name: [] for name in STATES}


def test_nothing_moves_for_whoever_asked_for_less_motion(visit: Visit, shop: Shop) -> None:
    invoice = shop.invoice(status="processing", amount_paid=2500)
    shop.deposit(invoice, CENT_OF_ETHER)
    page = visit(shop.link(invoice), reduced_motion="reduce")
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0


def test_an_unknown_invoice_is_a_friendly_page(visit: Visit, browser: Any, shop: Shop) -> None:
    for text in ("inv_nothing", ids.show("inv", ids.new()), ids.show("dep", ids.new())):
        page = browser.new_page()
        answer = page.goto(f"{shop.url}/pay/{text}")
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("text/html")
        expect(page.get_by_role("heading", name="We cannot find this invoice")).to_be_visible()
        assert page.evaluate(FLAWS) == []
        page.close()
    for path in ("/pay/inv_x/events", "/pay/inv_x.json", "/static/nothing.css"):
        with pytest.raises(HTTPError) as refused:
            urlopen(shop.url + path)  # noqa: S310
        assert refused.value.code == 404
        assert refused.value.headers["Content-Type"] == "application/problem+json"


def test_headers_keep_the_page_to_itself(shop: Shop) -> None:
    with urlopen(shop.link(shop.invoice())) as answer:  # noqa: S310
        headers, html = answer.headers, answer.read().decode()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"\bstyle=|<style|\bon[a-z]+=|<script>", html), "nothing inline"
    assert "Fern &amp; Field &lt;Coffee&gt;" in html
    assert "<Coffee>" not in html


def test_assets_are_kept_for_ever_under_the_hash_of_their_content(shop: Shop) -> None:
    with urlopen(shop.link(shop.invoice())) as answer:  # noqa: S310
        html = answer.read().decode()
    names = re.findall(r"\.\./(static/[a-z]+\.[0-9a-f]{12}\.[a-z]+)", html)
    assert len(names) == 3
    for name in names:
        with urlopen(f"{shop.url}/{name}") as answer:  # noqa: S310
            assert "immutable" in answer.headers["Cache-Control"]
            assert "://" not in answer.read().decode().replace("http://www.w3.org/2000/svg", "")


def test_the_state_for_pollers_holds_what_the_events_hold(shop: Shop) -> None:
    invoice = shop.invoice()
    with urlopen(shop.link(invoice) + ".json") as answer:  # noqa: S310
        state = json.load(answer)
        assert answer.headers["Cache-Control"] == "no-store"
    with urlopen(shop.link(invoice) + "/events") as stream:  # noqa: S310
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.readline() == b"event: state\r\n"
        first = json.loads(stream.readline().removeprefix(b"data: "))
    assert first["regions"] == state["regions"]
    assert first["stage"] == state["stage"] == "waiting"
    assert 860 < first["seconds_left"] <= state["seconds_left"] <= 872


def test_a_flood_from_one_address_is_told_to_wait(database_url: str) -> None:
    with open_shop(database_url, Limits(public_per_second=1, public_burst=2)) as shop:
        link = shop.link(shop.invoice())
        for _ in range(2):
            urlopen(link).close()  # noqa: S310
        for url in (link, link + "/events", link + ".json"):
            with pytest.raises(HTTPError) as refused:
                urlopen(Request(url))  # noqa: S310
            assert refused.value.code == 429
            assert int(refused.value.headers["Retry-After"]) >= 1
            assert refused.value.headers["RateLimit-Remaining"] == "0"
            refused.value.close()
