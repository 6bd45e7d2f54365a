"""What is shown of an invoice: exact amounts, honest words, nothing that is not the payer's."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import crypto
from tests.unit.web.samples import ADDRESS, CATALOG, NOW, deposit, invoice, option
from web.arrivals import Progress, payments_of, progress_of
from web.options import groups, typed
from web.qr import svg
from web.view import View, money, view_of


def look(**changes: object) -> View:
    return view_of(invoice(**changes), "Fern & Field", CATALOG, NOW)


@given(st.integers(0, 10**30), st.integers(0, 24))
def test_what_is_typed_is_exactly_what_is_owed(units: int, decimals: int) -> None:
    asset = crypto("X", decimals)
    text = typed(asset.format(units))
    assert asset.parse(text) == units
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", text), "no grouping: wallets refuse it"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("25.00", "25.00"),
        ("1234567.89", "1,234,567.89"),
        ("1500", "1,500"),
        ("0.250", "0.250"),
        ("0.010000000000000000", "0.01"),
        ("2.000000000000000000", "2.00"),
    ],
)
def test_money_is_read_easily(amount: str, shown: str) -> None:
    assert money(amount) == shown


@given(st.binary(min_size=20, max_size=20))
def test_groups_are_the_address(raw: bytes) -> None:
    address = "0x" + raw.hex()
    assert "".join(groups(address)) == address
    assert len(groups(address)) == 10


def test_an_option_says_rate_and_source() -> None:
    (shown,) = look().options
    assert (shown.amount, shown.asset, shown.network) == ("0.01", "ETH", "Ethereum")
    assert shown.uri == f"ethereum:{ADDRESS}@1?value=10000000000000000"
    assert shown.rate == "1 ETH = 2,500.00 USD"
    assert shown.rate_source == "Chainlink, 4 s old when locked for you"


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        ("2272.727272727272727273", "≈ 2,272.73"),
        ("0.909090909090909091", "≈ 0.909091"),
        ("0.000439999999999999", "≈ 0.00044"),
        ("1.10000000", "= 1.10"),
        ("64000.00000000", "= 64,000.00"),
        ("999999.996", "≈ 1,000,000.00"),
    ],
)
def test_a_rate_is_shown_as_an_eye_can_take_it(rate: str, shown: str) -> None:
    (seen,) = look(payment_options=[option(rate=rate)]).options
    assert seen.rate == f"1 ETH {shown} USD"


def test_an_invoice_in_its_own_asset_has_no_rate() -> None:
    ether = {"currency": "ETH", "amount": "1.000000000000000000"}
    view = look(**ether, payment_options=[option(rate="1.00000000", price={})])
    assert view.amount == "1.00"
    assert view.options[0].rate is None
    assert view.options[0].rate_source is None


def test_a_network_taken_out_of_the_configuration_is_still_named() -> None:
    view = look(payment_options=[option(network="eip155:77", uri="ethereum:x")])
    assert view.options[0].network == "eip155:77"


def test_options_that_need_nothing_more_are_left_out() -> None:
    paid = option(asset="USDC", amount_due="0.000000")
    assert [o.asset for o in look(payment_options=[option(), paid]).options] == ["ETH"]


def test_the_deadline_names_its_day_when_it_is_another() -> None:
    assert look().expires_time == "10:15"
    assert look(expires_at="2026-11-25T08:00:00Z").expires_time == "25 November, 08:00"


def test_progress_is_that_of_the_payment_furthest_behind() -> None:
    both = [deposit(confirmations=3), deposit(confirmations=1)]
    expected = Progress(
        done=1,
        required=3,
        label="1 of 3 confirmations",
        estimate="usually about 24 seconds more",
    )
    assert progress_of(invoice(deposits=both), CATALOG) == expected
    final = [*both, deposit(confirmations_required="finalized")]
    progress = progress_of(invoice(deposits=final), CATALOG)
    assert progress is not None
    assert progress.required is None
    assert progress_of(invoice(deposits=[deposit(status="confirmed")]), CATALOG) is None


def test_more_confirmations_than_asked_for_are_not_said() -> None:
    waiting = deposit(confirmations=9, waiting_for="second_endpoint")
    progress = progress_of(invoice(deposits=[waiting]), CATALOG)
    assert progress is not None
    assert (progress.done, progress.estimate) == (3, None)
    (payment,) = payments_of(invoice(deposits=[waiting]), "Shop", CATALOG)
    assert payment.label == "Being checked with a second node"


@pytest.mark.parametrize(
    "reason",
    ["late", "partial", "overpaid", "unexpected_asset", "unexpected_network", "held", "dust"],
)
def test_money_in_the_inbox_says_why(reason: str) -> None:
    odd = deposit(inbox={"reason": reason, "suggestion": {}}, tx_hash=None)
    (payment,) = payments_of(invoice(deposits=[odd]), "Fern & Field", CATALOG)
    assert payment.note
    assert "{" not in payment.note
    assert payment.tx_hash == ""


def test_no_text_is_left_unfilled() -> None:
    statuses = ("new", "processing", "settled", "expired", "invalid")
    exceptions = ("none", "paid_partial", "paid_over", "paid_late", "reversed", "marked")
    for status in statuses:
        for exception in exceptions:
            for now in (NOW, NOW + timedelta(hours=1)):
                it = invoice(status=status, exception=exception, deposits=[deposit()])
                view = view_of(it, "Shop", CATALOG, now)
                said = " ".join([view.title, view.explanation, *view.notes])
                assert "{" not in said


def test_a_merchants_name_is_never_a_template() -> None:
    view = view_of(invoice(status="settled"), "{amount.__class__}", CATALOG, NOW)
    assert view.explanation.startswith("{amount.__class__} has received 25.00 USD")


def test_the_shops_own_data_stays_its_own() -> None:
    names = {field.name for field in fields(View)}
    assert "metadata" not in names
    assert "secret" not in str(look(metadata={"secret": "x"}))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//host/x", ""])
def test_only_web_pages_are_linked(url: str) -> None:
    assert look(success_url=url).back_url is None
    assert look(success_url="https://shop.example/x").back_url == "https://shop.example/x"


def test_a_qr_code_obeys_the_pages_policy_and_is_named() -> None:
    drawn = svg("ethereum:0x1", 'pay "<Fern>"')
    assert "style=" not in drawn
    assert drawn.startswith('<svg role="img" aria-label="pay &quot;&lt;Fern&gt;&quot;" viewBox=')
