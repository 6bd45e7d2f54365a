"""`bezant statement import`: a file into the books, again without harm, refused in a sentence; and
`bezant bank export`."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from bezant.banking import bank, statement
from bezant.places import ROOT
from core import ids
from core.errors import Conflict, Invalid
from tests.unit.treasury.test_camt import IBAN, document, entry


@pytest.fixture
def config(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bezant.toml with one bank account."""
    file = tmp_path / "bezant.toml"
    section = f'[banks.main]\ncurrency = "EUR"\niban = "{IBAN}"\n'
    file.write_text((ROOT / "bezant.example.toml").read_text() + section)
    monkeypatch.setenv("BEZANT_DATABASE_URL", database_url)
    monkeypatch.setenv("BEZANT_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    return file


def test_a_file_into_the_books(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "statement.xml"
    file.write_text(document(entries=entry("12.34"), opening="1.00", closing="13.34"))
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


RELEASED = """
with merchant as (
    insert into merchants (id, name, settle_in, spread_percent, payout_fee, webhook_secret,
        created_at)
    values (%(id)s, 'Shop', 'crypto', '0', 'merchant', '', now()) returning id
), account as (
    insert into merchant_bank_accounts
    select %(id)s, id, 'EUR', 'Ada', 'GB82WEST12345698765432', null, 'key_x', now(), now()
    from merchant returning id, merchant_id
)
insert into payouts (id, merchant_id, bank_account_id, status, reasons, source, network, asset,
    token, amount, fee, fee_paid_by, fee_quote, fee_cap, address, initiator, screening, policy,
    signer, needed, given, overdrawn, hot_short, final, generation, created_at)
select %(id)s, merchant_id, id, 'approved', '[]', 'merchant:x:available', 'bank', 'EUR', '', 1050,
    0, 'house', '{}', 0, 'GB82WEST12345698765432', 'key_x', 'accept', 'allow', 'allowed', 1, 1,
    false, false, false, 0, now() from account
"""


def test_released_payouts_into_a_file_once(config: Path, database_url: str, tmp_path: Path) -> None:
    number = ids.new()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(RELEASED, {"id": number})
    first, second = tmp_path / "first.xml", tmp_path / "second.xml"
    runner = CliRunner()

    def run(output: Path, *more: str) -> Result:
        asked = ["export", "--output", str(output), "--config", str(config), "--json", *more]
        return runner.invoke(bank, asked, catch_exceptions=False)

    made = run(first)
    assert made.exit_code == 0, made.output
    shown = json.loads(made.output)
    assert (shown["payouts"], shown["total"], shown["made_by"]) == (1, "10.50", "command line")
    assert ids.show("pay", number).replace("_", "-") in first.read_text()
    with pytest.raises(Conflict, match="no released payout"):
        run(second)
    assert run(first).exit_code == 2  # nothing is written over
    assert run(second, "--again", shown["id"]).exit_code == 0
    assert second.read_text() == first.read_text()
