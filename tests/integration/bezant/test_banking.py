"""`bezant statement import`: a file into the books, again without harm, refused in a sentence."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from bezant.banking import statement
from bezant.places import ROOT
from core.errors import Invalid
from tests.unit.treasury.test_camt import IBAN, document, entry


def test_a_file_into_the_books(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = tmp_path / "bezant.toml", tmp_path / "statement.xml"
    bank = f'[banks.main]\ncurrency = "EUR"\niban = "{IBAN}"\n'
    config.write_text((ROOT / "bezant.example.toml").read_text() + bank)
    file.write_text(document(entries=entry("12.34"), opening="1.00", closing="13.34"))
    monkeypatch.setenv("BEZANT_DATABASE_URL", database_url)
    monkeypatch.setenv("BEZANT_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    asked = ["import", str(file), "--account", "main", "--config", str(config)]
    runner = CliRunner()
    first = runner.invoke(statement, [*asked, "--json"], catch_exceptions=False)
    assert first.exit_code == 0
    [shown] = json.loads(first.output)["data"]
    assert (shown["closing"], shown["lines"], shown["matched"]) == ("13.34", 1, 0)
    again = runner.invoke(statement, asked, catch_exceptions=False)
    assert again.output.startswith(f"{shown['id']}  2026-11-20 to 2026-11-21: 1.00 to 13.34 EUR")
    assert "1 not explained" in again.output
    file.write_text(document(closing="0.01"))
    with pytest.raises(Invalid, match=r"0\.01 EUR are not explained"):
        runner.invoke(statement, asked, catch_exceptions=False)
