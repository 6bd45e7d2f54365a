"""IBANs by their checksum, BICs, and the letters that banks take."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import sepa

# Examples of the registry (ISO 13616).
GOOD = [
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "FR1420041010050500013M02606",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
    "ch9300762011623852957",
]


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    assert sepa.iban(text) == text.replace(" ", "").upper()


@pytest.mark.parametrize(
    "text", ["", "DE", "DE89", "0089370400440532013000", "DE8937040044053201300\u0660", "D" * 40]
)
def test_no_iban(text: str) -> None:
    with pytest.raises(ValueError, match="must be an IBAN"):
        sepa.iban(text)


@given(st.sampled_from(GOOD), st.integers(2, 14), st.sampled_from(string.digits))
def test_one_digit_that_is_wrong_is_seen(text: str, at: int, digit: str) -> None:
    plain = text.replace(" ", "").upper()
    other = plain[:at] + digit + plain[at + 1 :]
    if other != plain and plain[at].isdigit():
        with pytest.raises(ValueError, match="check digits"):
            sepa.iban(other)


@given(st.sampled_from(GOOD), st.integers(4, 13))
def test_two_digits_that_changed_places_are_seen(text: str, at: int) -> None:
    plain = text.replace(" ", "").upper()
    turned = plain[:at] + plain[at + 1] + plain[at] + plain[at + 2 :]
    if turned != plain and plain[at : at + 2].isdigit():
        with pytest.raises(ValueError, match="check digits"):
            sepa.iban(turned)


def test_bic() -> None:
    assert sepa.bic("cobadeff xxx") == "COBADEFFXXX"
    for text in ("COBADEF", "COBADEFFXX", "C0BADEFF", ""):
        with pytest.raises(ValueError, match="BIC"):
            sepa.bic(text)


@given(st.text())
def test_what_is_written_is_taken(text: str) -> None:
    try:
        found = sepa.latin(text)
    except ValueError:
        return
    assert found.isascii()
    assert found == " ".join(found.split())
    assert sepa.latin(found) == found
