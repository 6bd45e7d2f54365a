"""`[banks.<id>]` of bezant.toml: what is read, and the sentence for what is not allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bezant.places import ROOT
from bezant.settings import Settings, load
from core.errors import Misconfigured
from core.money import FIAT

BANK = '[banks.main]\ncurrency = "EUR"\n'


def settings(folder: Path, lines: str) -> Settings:
    file = folder / "bezant.toml"
    file.write_text((ROOT / "bezant.example.toml").read_text() + lines)
    return load(file, {})


def test_the_example_shows_an_account(tmp_path: Path) -> None:
    text = (ROOT / "bezant.example.toml").read_text()
    assert load(ROOT / "bezant.example.toml", {}).banks == {}
    start = text.index("# [banks.main]")
    shown = re.sub("^# ?", "", text[start : text.index("\n\n", start)], flags=re.MULTILINE)
    account = settings(tmp_path, shown).banks["main"]
    assert (account.asset, account.iban) == (FIAT["EUR"], "DE89370400440532013000")
    assert account.csv is not None
    assert (account.csv.balance, account.csv.text) == ("Saldo", ("Verwendungszweck",))


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('[banks.main]\ncurrency = "ABC"\n', "banks.main.currency is 'ABC'"),
        ('[banks."a:b"]\ncurrency = "EUR"\n', "banks"),
        (f'{BANK}csv = {{ date = "D" }}\n', "banks.main.csv.amount is missing"),
        (f'{BANK}csv = {{ date = "D", amount = "A", encoding = "no" }}\n', "encoding is 'no'"),
        (f'{BANK}csv = {{ date = "D", amount = "A", date_format = "%d.%m." }}\n', "date_format"),
        (f'{BANK}csv = {{ date = "D", amount = "A", thousands = "." }}\n', "thousands is '.'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, lines: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(sentence)):
        settings(tmp_path, lines)
