"""Settings: the example loads, and every wrong value is one sentence."""

from __future__ import annotations

import base64
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bezant.configuration import parse
from bezant.environment import keystore_password
from bezant.places import ROOT
from bezant.settings import load
from core.errors import Misconfigured
from core.networks import NATIVE, SweepPolicy

KEY = base64.b64encode(bytes(32)).decode()
ADDRESS = "0x" + "ab" * 20
TOKEN: dict[str, Any] = {"symbol": "USDC", "decimals": 6, "address": ADDRESS}
FEED: dict[str, Any] = {
    "pair": "ETH/USD", "address": ADDRESS, "heartbeat_seconds": 3600,
    "minimum": "100", "maximum": "100000.5",
}  # fmt: skip
NETWORK: dict[str, Any] = {
    "name": "Test", "rpc_urls": ["http://127.0.0.1:1"], "block_seconds": 0, "poll_ms": 1000,
    "tokens": [TOKEN], "feeds": [FEED], "confirmations": [{"up_to": "10.00", "required": 3}],
}  # fmt: skip


def document(change: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    return {"networks": {"eip155:5": {**deepcopy(NETWORK), **(change or {})}}, **top}


def test_the_example_is_a_configuration() -> None:
    catalog = load(ROOT / "bezant.example.toml", {}).catalog
    assert list(catalog.networks) == ["eip155:1", "eip155:11155111", "eip155:8453"]
    ethereum = catalog.networks["eip155:1"]
    assert [t.asset.symbol for t in ethereum.tokens] == ["ETH", "USDC", "USDT", "DAI"]
    assert ethereum.tokens[0].address == NATIVE
    assert ethereum.feeds[0].address == "0x5f4ec3df9cbd43714fe2740f5e3616155c5b8419"
    assert ethereum.tiers[-1].required == "finalized"
    assert (
        ethereum.tokens[1].asset_id == "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
    )


def test_amounts_and_addresses_become_exact_values() -> None:
    _, catalog = parse(document())
    network = catalog.networks["eip155:5"]
    assert network.chain_id == 5
    assert [(t.up_to, t.required) for t in network.tiers] == [(1000, 3), (None, "finalized")]
    feed = network.feeds[0]
    assert (feed.minimum, feed.maximum) == (100 * 10**8, 1000005 * 10**7)
    assert (feed.grace_seconds, feed.description) == (360, "ETH / USD")


def test_two_nodes_may_be_asked_for() -> None:
    """Also of one provider: what their addresses say more may tell them apart."""
    nodes = ["https://node.example/v2/one", "https://node.example/v2/two"]
    _, catalog = parse(document({"second_endpoint_above": "1000.00", "rpc_urls": nodes}))
    assert catalog.networks["eip155:5"].second_endpoint_above == 100_000


def test_sweeping_by_itself_is_asked_for() -> None:
    _, catalog = parse(document())
    assert catalog.networks["eip155:5"].sweeps is None
    asked = {"minimum": "1.50", "max_gas_percent": 3, "max_age_hours": 2}
    _, catalog = parse(document({"sweeps": asked}))
    assert catalog.networks["eip155:5"].sweeps == SweepPolicy(
        minimum=150, max_gas_percent=3, max_age_seconds=7200
    )


FILES = [
    (document({"sweeps": {"max_gas_percent": 0}}), "sweeps.max_gas_percent", "0", "equal to 1"),
    (
        document({"sweeps": {"minimum": "0.001"}}),
        "networks.eip155:5.sweeps.minimum",
        "0.001",
        "2 decimals",
    ),
    (document({"poll_ms": "fast"}), "networks.eip155:5.poll_ms", "'fast'", "valid integer"),
    (document({"poll_ms": 0}), "networks.eip155:5.poll_ms", "0", "greater than or equal to 1"),
    (document({"pol_ms": 5}), "networks.eip155:5.pol_ms", "5", "no such key"),
    (document({"name": None}), "networks.eip155:5.name", "None", "valid string"),
    (document({"rpc_urls": []}), "networks.eip155:5.rpc_urls", "[]", "at least 1"),
    (document({"rpc_urls": ["ftp://x"]}), "rpc_urls.0", "'ftp://x'", "match pattern"),
    (
        document({"traces": "all"}),
        "networks.eip155:5.traces",
        "'all'",
        "'debug', 'trace' or 'none'",
    ),
    (document({"factory": "0x12"}), "networks.eip155:5.factory", "'0x12'", "match pattern"),
    (
        document({"confirmations": [{"required": "soon"}]}),
        "confirmations.0.required",
        "'soon'",
        "'safe'",
    ),
    (
        document({"confirmations": [{"required": 1}, {"required": 2}]}),
        "confirmations.up_to",
        "[None, None]",
        "growing",
    ),
    (
        document({"confirmations": [{"up_to": "1.005", "required": 1}]}),
        "confirmations.up_to",
        "'1.005'",
        "2 decimals",
    ),
    (document({"tokens": [TOKEN, TOKEN]}), "networks.eip155:5.tokens", "'USDC'", "once"),
    (
        document({"tokens": [{**TOKEN, "symbol": "EUR"}]}),
        "networks.eip155:5",
        "'EUR'",
        "any other symbol",
    ),
    (
        document({"feeds": [{**FEED, "maximum": "99"}]}),
        "feeds.ETH/USD.maximum",
        "'99'",
        "more than the minimum 100",
    ),
    (
        document({"feeds": [{**FEED, "pair": "ETHUSD"}]}),
        "feeds.0.pair",
        "'ETHUSD'",
        "match pattern",
    ),
    (
        document({"second_endpoint_above": "1000.00"}),
        "networks.eip155:5.second_endpoint_above",
        "'1000.00'",
        "two different nodes",
    ),
    (
        document(
            {
                "second_endpoint_above": "1000.00",
                "rpc_urls": ["https://node.example/v2/k", "https://u:p@Node.example:443/v2/k/"],
            }
        ),
        "networks.eip155:5.second_endpoint_above",
        "'1000.00'",
        "2 given there come to one",
    ),
    (document({"router": "0x12"}), "networks.eip155:5.router", "'0x12'", "match pattern"),
    (
        document({"fees": {"max_fee_gwei": "2", "max_priority_fee_gwei": "3"}}),
        "networks.eip155:5.fees.max_priority_fee_gwei",
        "'3'",
        "at most max_fee_gwei (2)",
    ),
    (
        document({"fees": {"max_fee_gwei": "0.0000000001"}}),
        "networks.eip155:5.fees.max_fee_gwei",
        "'0.0000000001'",
        "9 decimals",
    ),
    (
        document({"fees": {"stuck_after_seconds": 0}}),
        "networks.eip155:5.fees.stuck_after_seconds",
        "0",
        "greater than or equal to 1",
    ),
    (document(screening={"lists": "ofac.txt"}), "screening.lists", "'ofac.txt'", "valid list"),
    (document(screening={"provider_url": "x"}), "screening.provider_url", "'x'", "match pattern"),
    (document(house_currency="XYZ"), "house_currency", "'XYZ'", "ISO 4217"),
    ({"networks": {"ethereum": NETWORK}}, "networks.ethereum", "'ethereum'", "eip155"),
    ({}, "networks", "missing", "must be given"),
    (
        {
            "networks": {
                "eip155:5": NETWORK,
                "eip155:6": {**NETWORK, "tokens": [{**TOKEN, "decimals": 18}]},
            }
        },
        "networks.eip155:6",
        "USDC has 18 decimals",
        "the same as on eip155:5",
    ),
]


@pytest.mark.parametrize(("content", "key", "value", "allowed"), FILES)
def test_a_wrong_value_is_one_sentence(
    content: dict[str, Any], key: str, value: str, allowed: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse(content)
    sentence = str(caught.value)
    assert key in sentence
    assert value in sentence
    assert allowed in sentence
    assert "\n" not in sentence


ENVIRONMENTS = [
    ({"BEZANT_DATABASE_URL": "mysql://x"}, "BEZANT_DATABASE_URL", "postgresql://"),
    ({"BEZANT_PUBLIC_URL": "shop.example"}, "BEZANT_PUBLIC_URL", "https://"),
    ({"BEZANT_SECRET_KEY": "short"}, "BEZANT_SECRET_KEY", "32 bytes"),
    (
        {"BEZANT_SECRET_KEY": KEY, "BEZANT_SECRET_KEY_FILE": "/x"},
        "BEZANT_SECRET_KEY_FILE",
        "one of",
    ),
    ({"BEZANT_SECRET_KEY_FILE": "/does/not/exist"}, "/does/not/exist", "file"),
    ({"BEZANT_SERVICE_KEY": "short"}, "BEZANT_SERVICE_KEY", "32 bytes"),
    ({"BEZANT_SIGNER_SOCKET": "signer.sock"}, "'signer.sock'", "absolute path"),
    ({"BEZANT_SIGNER_SOCKET": "/" + "x" * 100}, "BEZANT_SIGNER_SOCKET", "at most 100 bytes"),
]


@pytest.mark.parametrize(("environment", "key", "allowed"), ENVIRONMENTS)
def test_a_wrong_environment_is_one_sentence(
    environment: dict[str, str], key: str, allowed: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(ROOT / "bezant.example.toml", environment)
    assert key in str(caught.value)
    assert allowed in str(caught.value)


def test_a_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    settings = load(ROOT / "bezant.example.toml", {"BEZANT_SECRET_KEY_FILE": str(file)})
    assert settings.secret_key == KEY
    assert KEY not in repr(settings)
    assert settings.secrets().open(settings.secrets().seal(b"x", "a.b:1"), "a.b:1") == b"x"


def test_who_signs_is_named_and_its_secrets_stay_unread(tmp_path: Path) -> None:
    file = tmp_path / "bezant.toml"
    file.write_text((ROOT / "bezant.example.toml").read_text().replace(
        '# lists = ["sanctioned.txt"]', 'lists = ["sanctioned.txt", "/lists/own.txt"]'
    ))  # fmt: skip
    given = {
        "BEZANT_SIGNER_SOCKET": "/run/bezant/signer.sock",
        "BEZANT_SERVICE_KEY": KEY,
        "BEZANT_KEYSTORE_PASSWORD": "canary-of-a-password",
    }
    settings = load(file, given)
    assert settings.signer_socket == Path("/run/bezant/signer.sock")
    assert settings.service() == bytes(32)
    assert settings.sanctions_lists == (tmp_path / "sanctioned.txt", Path("/lists/own.txt"))
    assert KEY not in repr(settings)
    assert "canary" not in repr(settings)
    assert keystore_password(given) == "canary-of-a-password"
    nothing = load(file, {})
    assert nothing.signer_socket is None
    for ask, key in ((nothing.service, "SERVICE_KEY"), (lambda: keystore_password({}), "PASSWORD")):
        with pytest.raises(Misconfigured, match=key):
            ask()


def test_the_environment_names_the_place(tmp_path: Path) -> None:
    given = {
        "BEZANT_CONFIG": str(ROOT / "bezant.example.toml"),
        "BEZANT_DATA_DIR": str(tmp_path),
        "BEZANT_PUBLIC_URL": "https://shop.example/pay/",
        "BEZANT_DATABASE_URL": "postgres://host/db",
    }
    settings = load(None, given)
    assert settings.data_dir == tmp_path
    assert settings.public_url == "https://shop.example/pay"
    assert settings.database_url == "postgres://host/db"
