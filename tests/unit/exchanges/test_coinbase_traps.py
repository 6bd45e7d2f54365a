"""The traps of coinbase-advanced-py 1.8.4 (VENUES 4): each is there, and not in our adapter."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
from coinbase.rest import RESTClient
from coinbase.websocket import WSClient

from core.errors import Misconfigured, OrderRefused, OutcomeUnknown, VenueUnavailable
from exchanges.coinbase.adapter import Coinbase
from exchanges.coinbase.client import Client, host_of, trusted
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side
from tests.unit.exchanges.coinbase_stand import KEY, NETWORK, SECRET, Stand, plain, stand

ORDER = LimitOrder(
    client_id="ours-1", symbol="ETH-EUR", side=Side.BUY, quantity=ONE, price=2000 * ONE
)


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.getbasetemp() / "tls") as there:
        yield there


def theirs(venue: Stand, **more: Any) -> RESTClient:
    client = RESTClient(api_key=KEY, api_secret=SECRET, base_url=venue.host, **more)
    client.session.trust_env = False
    client.session.verify = str(venue.ca_file)
    return client


def ours(venue: Stand) -> Client:
    return Client(
        key=KEY, secret=SECRET, host=venue.host, authorities=str(venue.ca_file), timeout=5
    )


def test_the_traps_were_looked_for_in_this_version() -> None:
    assert version("coinbase-advanced-py") == "1.8.4"


def test_it_takes_keys_from_the_environment_on_import() -> None:
    script = (
        "import os; from coinbase.rest import RESTClient\n"
        "from exchanges.coinbase.client import Client\n"
        "del os.environ['COINBASE_API_KEY'], os.environ['COINBASE_API_SECRET']\n"
        "print(RESTClient().api_key)\n"
        "own = Client(key='own', secret='own', host='h', authorities='a', timeout=1)\n"
        "print(own.api_key, own.api_secret)\n"
    )
    environment = {**os.environ, "COINBASE_API_KEY": "stray", "COINBASE_API_SECRET": "stray"}
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["stray", "own", "own"]


async def test_it_waits_for_ever(venue: Stand) -> None:
    assert theirs(venue).timeout is None
    venue.answers = [None]
    async with venue.exchange(timeout=0.2) as exchange:
        with pytest.raises(VenueUnavailable, match="in time"):
            await exchange.balances()
        with pytest.raises(OutcomeUnknown, match="in time"):
            await exchange.place(ORDER)


async def test_it_invents_an_id_for_an_empty_one(venue: Stand) -> None:
    venue.answers = [plain('{"success":false}')]
    for _ in range(2):
        await asyncio.to_thread(theirs(venue).limit_order_ioc_buy, "", "ETH-EUR", "1", "2000")
    first, second = (body.split(b'"client_order_id": "')[1][:32] for body in venue.bodies)
    assert first != second
    async with venue.exchange() as exchange:
        with pytest.raises(OrderRefused, match="no_client_id"):
            await exchange.place(
                LimitOrder(client_id="", symbol="ETH-EUR", side=Side.BUY, quantity=1, price=1)
            )
    assert len(venue.seen) == 2


async def test_it_logs_error_bodies(venue: Stand, caplog: pytest.LogCaptureFixture) -> None:
    venue.answers = [plain('{"error":"INTERNAL","message":"seen-in-a-log"}', 500)]
    sdk_log = logging.getLogger("coinbase.RESTClient")
    sdk_log.addHandler(caplog.handler)
    try:
        with pytest.raises(requests.HTTPError):
            await asyncio.to_thread(theirs(venue).get_accounts)
        assert "seen-in-a-log" in caplog.text
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            async with venue.exchange() as exchange:
                with pytest.raises(VenueUnavailable):
                    await exchange.balances()
        assert "seen-in-a-log" not in caplog.text
    finally:
        sdk_log.removeHandler(caplog.handler)


def test_its_logger_has_no_handler_of_its_own_any_more() -> None:
    sdk_log = logging.getLogger("coinbase.RESTClient")
    assert not sdk_log.propagate
    assert not any(type(handler) is logging.StreamHandler for handler in sdk_log.handlers)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "127.0.0.1:8080", "https://", "https://host/path", "wss://host"],
)
def test_it_speaks_https_only(url: str) -> None:
    with pytest.raises(Misconfigured, match="https"):
        host_of(url)


def test_an_address_is_a_host_and_perhaps_a_port() -> None:
    assert host_of("https://api.coinbase.com") == "api.coinbase.com"
    assert host_of("https://127.0.0.1:8443/") == "127.0.0.1:8443"


def test_the_environment_chooses_authorities_proxies_and_netrc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    bundle = trusted(None)
    sdk = RESTClient(api_key=KEY, api_secret=SECRET)
    sdk.session.verify = bundle
    own = Client(key=KEY, secret=SECRET, host="h", authorities=bundle, timeout=1)
    merged = [
        client.session.merge_environment_settings("https://api.coinbase.com", {}, None, None, None)
        for client in (sdk, own)
    ]
    assert [settings["verify"] for settings in merged] == ["/elsewhere.pem", bundle]
    assert [bool(settings["proxies"]) for settings in merged] == [True, False]
    with pytest.raises(Misconfigured, match="ca_file"):
        trusted(tmp_path / "nothing.pem")


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")  # of the SDK's bare SSLContext
async def test_its_stream_takes_any_certificate(venue: Stand) -> None:
    stream = WSClient(
        KEY, SECRET, base_url=f"wss://{venue.host}/stream", on_message=print, retry=False
    )
    await asyncio.to_thread(stream.open)  # a certificate that no authority of this machine made
    await asyncio.to_thread(stream.close)
    async with venue.exchange(ca_file=None) as exchange:
        with pytest.raises(VenueUnavailable, match="SSLCertVerificationError"):
            await anext(exchange.books(["ETH-EUR"]))
        with pytest.raises(VenueUnavailable, match="certificate"):
            await exchange.balances()
    assert not venue.seen


async def test_it_reads_numbers_as_floats(venue: Stand) -> None:
    text = '{"total_volume":0.1,"fee_tier":{"taker_fee_rate":0.006}}'
    venue.answers = [plain(text), plain(text), plain('{"products":[]}')]
    summary = await asyncio.to_thread(theirs(venue).get_transaction_summary)
    assert isinstance(summary.total_volume, float)
    async with venue.exchange() as exchange:
        assert await exchange.markets() == {}
    exact = await asyncio.to_thread(ours(venue).get, "/any")
    assert b"float" not in exact.body  # bytes: nobody has read them yet


async def test_numbers_that_are_not_strings_stay_exact(venue: Stand) -> None:
    account = (
        '{"currency":"ETH","available_balance":{"value":9007199254740993.000000000000000001},'
        '"hold":{"value":0.1}}'
    )
    venue.answers = [plain(f'{{"accounts":[{account}],"has_next":false}}')]
    async with venue.exchange() as exchange:
        held = (await exchange.balances())["ETH"]
    assert held.free == 9007199254740993 * ONE + 1
    assert held.locked == ONE // 10


async def test_it_follows_redirects(venue: Stand) -> None:
    """A POST would come again as a GET, and its answer pass for the order's."""
    moved = plain("", 302, Location="/elsewhere")
    venue.answers = [moved, plain('{"success":true}'), moved]
    told = await asyncio.to_thread(theirs(venue).limit_order_ioc_buy, "x", "ETH-EUR", "1", "2000")
    assert told.success is True
    assert [request.method for request in venue.seen] == ["POST", "GET"]
    async with venue.exchange() as exchange:
        with pytest.raises(OutcomeUnknown):
            await exchange.place(ORDER)
    assert [request.method for request in venue.seen] == ["POST", "GET", "POST"]


def test_it_has_no_names_for_addresses_and_sends() -> None:
    names = [name for name in dir(RESTClient) if "address" in name or "withdraw" in name]
    assert names == []


@pytest.mark.parametrize("secret", ["", "no key at all", "-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_key_that_cannot_sign_is_refused_at_once(secret: str) -> None:
    with pytest.raises(Misconfigured, match="COINBASE_API_SECRET") as raised:
        Coinbase(
            key=KEY,
            secret=secret,
            url="https://api.coinbase.com",
            stream_url="wss://advanced-trade-ws.coinbase.com",
            ca_file=None,
            networks={NETWORK: "ethereum"},
            timeout=1,
        )
    assert secret == "" or secret not in str(raised.value)
