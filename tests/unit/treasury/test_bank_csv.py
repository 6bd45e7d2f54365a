"""CSV exports by the mapping of their account: exact, columns by name, refusals by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from core.banks import BankAccount, CsvMapping
from core.errors import Invalid
from core.money import FIAT
from treasury import bank_csv

MAPPING = CsvMapping(
    date="Day", amount="In", debit="Out", currency="Cur", reference="Ref", value_date="Value",
    text=("Who", "What"), date_format="%d.%m.%Y", delimiter=";", decimal=",", thousands=".",
    encoding="cp1252", skip_lines=2,
)  # fmt: skip
ACCOUNT = BankAccount(id="main", name="Main", asset=FIAT["EUR"], csv=MAPPING)
HEAD = "Exported;today\r\n\r\nDay;In;Out;Cur;Ref;Value;Who;What\r\n"
ROW = "20.11.2026;90.071.992.547.409,93;;EUR;r1;21.11.2026;Büro; two\twords \r\n"


def test_every_column_by_its_name() -> None:
    content = (HEAD + ROW + "21.11.2026;;0,10;EUR;;;;fee\r\n;;;;;;;\r\n").encode("cp1252")
    found = bank_csv.read(content, ACCOUNT, "-1.00", "90071992547408.83")
    first, second = found.lines
    assert (first.amount, second.amount) == (9_007_199_254_740_993, -10)
    assert (first.reference, first.text) == ("r1", "Büro two words")
    assert (first.booked_on, first.value_on) == (date(2026, 11, 20), date(2026, 11, 21))
    assert (found.opening, found.closing) == (-100, 9_007_199_254_740_883)
    assert (found.opened_on, found.closed_on) == (date(2026, 11, 20), date(2026, 11, 21))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no column 'Day'"),
        (HEAD, "no lines"),
        (HEAD.replace("Ref", "Day") + ROW, "2 columns 'Day'"),
        (HEAD + ROW.replace(";Büro", ""), "row 1 has 7 fields, the header 8"),
        (HEAD + ROW.replace("EUR", "USD"), "row 1 is in USD"),
        (HEAD + ROW.replace(";;EUR", ";1,00;EUR"), "money in and money out"),
        (HEAD + ROW.replace("409,93", "409,935"), "row 1, In: EUR has 2 decimals"),
        (HEAD + ROW.replace("20.11.", "2011"), "is no date such as"),
        (HEAD + ROW + "\x00", "U+0000"),
        (HEAD + ROW + '"open', "no CSV"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(content: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        bank_csv.read(content, ACCOUNT, "0", "1")
    assert said in caught.value.detail


def test_balances_must_be_known() -> None:
    with pytest.raises(Invalid, match="opening and closing are required"):
        bank_csv.read(HEAD + ROW, ACCOUNT, "0", None)
    with pytest.raises(Invalid, match="is not set"):
        bank_csv.read(HEAD + ROW, replace(ACCOUNT, csv=None), "0", "1")
