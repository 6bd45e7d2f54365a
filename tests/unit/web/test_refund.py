"""What a payer is told of money that goes back, and when he may say where to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.samples import ADDRESS, CATALOG, NOW, invoice
from web import texts
from web.assets import Assets
from web.pages import Pages
from web.refund import return_of
from web.view import view_of


def deposit(reason: str | None = "late", **changes: Any) -> dict[str, Any]:
    inbox: dict[str, Any] = {
        "reason": reason,
        "resolution": None,
        "suggestion": {},
        "resolved_at": None,
    }
    return {
        "id": "dep_1", "status": "confirmed", "asset": "ETH", "network": "eip155:1",
        "amount": "0.010000000000000000", "tx_hash": "0x12", "waiting_for": None,
        "inbox": inbox if reason else None, "confirmations": 3, "confirmations_required": 3,
    } | changes  # fmt: skip


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "status": "requested", "payout": None, "amount": "0.010000000000000000", "asset": "ETH",
        "address": ADDRESS,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("of", "may"),
    [
        (deposit(), True),
        (deposit("overpaid"), True),
        (deposit("partial"), True),
        (deposit("unexpected_asset"), True),
        (deposit("held"), False),
        (deposit("dust"), False),
        (deposit(None), False),
        (deposit(status="pending"), False),
        (deposit(status="orphaned"), False),
        (deposit(inbox={"reason": "late", "resolution": "credit"}), False),
        (deposit(inbox={"reason": "late", "resolution": "refund"}), False),
    ],
)
def test_who_may_ask(of: dict[str, Any], may: bool) -> None:
    found = return_of(invoice(deposits=[of]), None, "Shop")
    assert (found is not None and found.may_ask) is may


def test_what_is_told() -> None:
    asked = return_of(invoice(deposits=[deposit()]), refund(), "Shop")
    assert asked is not None
    assert asked.told == f"You asked for 0.01 ETH back, to {ADDRESS}. Shop has been told."
    assert asked.may_ask, "he may have mistyped it"
    for status in texts.REFUND:
        if status != "asked":
            sent = return_of(invoice(), refund(status=status, payout="pay_1"), "Shop")
            assert sent is not None
            assert sent.told is not None
            assert not sent.may_ask
    for status in ("rejected", "failed"):
        assert return_of(invoice(), refund(status=status, payout="pay_1"), "Shop") is None


def test_the_form_works_without_javascript() -> None:
    pages = Pages(Assets())
    view = view_of(invoice(deposits=[deposit()]), "<b>Shop", CATALOG, NOW, refund())
    html = bytes(pages.checkout(view).body).decode()
    assert f'<form method="post" action="{view.id}/refund">' in html
    assert 'name="address"' in html
    assert "<b>Shop" not in html
    plain = pages.checkout(view_of(invoice(), "Shop", CATALOG, NOW))
    assert 'class="refund"' not in bytes(plain.body).decode()
