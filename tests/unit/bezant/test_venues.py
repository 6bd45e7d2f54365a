"""Exchanges of bezant.toml: what is named is used, with keys that only the worker reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bezant.places import ROOT
from bezant.settings import Settings, load
from bezant.venues import examine, open_exchanges
from core.errors import Misconfigured
from exchanges.types import Venue

HERE = "http://127.0.0.1:9"
BINANCE = f'[exchanges.binance]\nurl = "{HERE}"\n'


def settings(folder: Path, exchanges: str) -> Settings:
    """The example, with these tables instead of its own."""
    file = folder / "bezant.toml"
    file.write_text((ROOT / "bezant.example.toml").read_text() + exchanges)
    return load(file, {})


def test_the_example_shows_both_venues(tmp_path: Path) -> None:
    text = (ROOT / "bezant.example.toml").read_text()
    assert load(ROOT / "bezant.example.toml", {}).venues == ()
    start = text.index("# [exchanges.binance]")
    end = text.index("\n\n", start)
    shown = re.sub("^# ?", "", text[start:end], flags=re.MULTILINE)
    found = settings(tmp_path, shown)
    assert found.venues == (Venue.BINANCE, Venue.COINBASE)
    sections = found.configuration.exchanges
    assert sections.binance is not None
    assert sections.binance.url == "https://api.binance.com"
    assert sections.binance.networks == {"eip155:1": "ETH", "eip155:8453": "BASE"}


def test_an_authority_of_its_own_lies_beside_the_file(tmp_path: Path) -> None:
    found = settings(tmp_path, '[exchanges.coinbase]\nca_file = "ca.pem"\n')
    assert found.coinbase_ca_file == tmp_path / "ca.pem"
    assert settings(tmp_path, "[exchanges.coinbase]\n").coinbase_ca_file is None


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('networks = { "eip155:7" = "X" }', r"exchanges.binance.networks.eip155:7 is 'X': only"),
        ('url = "ftp://x"', r"exchanges.binance.url is 'ftp://x'"),
        ('url = "https://x/"', r"exchanges.binance.url is 'https://x/'"),
        ('stream_url = "https://x"', r"exchanges.binance.stream_url"),
        ("timeout_seconds = 0", r"exchanges.binance.timeout_seconds is 0"),
        ('api_key = "x"', r"exchanges.binance.api_key is 'x': no such key is known"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, lines: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        settings(tmp_path, f"[exchanges.binance]\n{lines}\n")


async def test_a_venue_needs_both_keys_and_a_worker_without_any_leaves_it_to_others(
    tmp_path: Path,
) -> None:
    found = settings(tmp_path, BINANCE)
    for given, missing in (("KEY", "SECRET"), ("SECRET", "KEY")):
        with pytest.raises(Misconfigured, match=f"BINANCE_API_{missing} is not set"):
            async with open_exchanges(found, {f"BINANCE_API_{given}": "k"}):
                pass
    for without in (found, settings(tmp_path, "")):
        async with open_exchanges(without, {}) as none:
            assert none == {}


async def test_keys_come_from_files_too(tmp_path: Path) -> None:
    environment = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET_FILE": str(tmp_path / "secret")}
    (tmp_path / "secret").write_text("s\n")
    async with open_exchanges(settings(tmp_path, BINANCE), environment) as found:
        assert [exchange.venue for exchange in found.values()] == [Venue.BINANCE]


async def test_the_doctor_says_what_is_amiss(tmp_path: Path) -> None:
    found = settings(tmp_path, BINANCE)
    [(verdict, about, sentence)] = await examine(found, {})
    assert (verdict, about) == ("note", "binance")
    assert "are not set here" in sentence
    environment = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "canary-secret"}
    [(verdict, _, sentence)] = await examine(found, environment)
    assert verdict == "bad"
    assert "canary" not in sentence
