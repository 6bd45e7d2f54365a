"""What an approver reads before signing: amounts as people write them, and whose word that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bezant.approving import words
from bezant.naming import clean, destination, names
from core.errors import Refused
from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Token
from tests.unit.wallets.signer import world as w
from wallets.addresses import checksum

PAYMENT = w.payment(token=w.USDC, amount=12_500_000)
STANDING = {"network": w.NETWORK, "asset": "USDC", "amount": "12.500000"}
NETWORK = Network(
    id=w.NETWORK, chain_id=w.CHAIN_ID, name="Anvil", rpc_urls=("http://127.0.0.1:1",),
    block_seconds=0, poll_ms=100,
    tokens=(
        Token(asset=crypto("ETH", 18), address=NATIVE),
        Token(asset=crypto("USDC", 6), address=w.USDC),
    ),
)  # fmt: skip
OWN = Catalog({NETWORK.id: NETWORK})
KIND = destination({"address_kind": "account"}, {})


def test_by_ones_own_configuration() -> None:
    lines = words(PAYMENT, w.CHAIN_ID, names(PAYMENT, w.CHAIN_ID, OWN, STANDING), KIND, "Supplier")
    assert lines[0] == f"Payout {PAYMENT.id} on chain {w.CHAIN_ID} (Anvil)"
    assert lines[1].split() == ["pays", "12.500000", "USDC"]
    assert f"12500000 base units of token {checksum(w.USDC)}" in lines[2]
    assert lines[2].endswith("by your bezant.toml")
    assert checksum(PAYMENT.to) in lines[3]
    assert lines[4].strip() == KIND
    assert "'Supplier'" in lines[5]


def test_the_coin_of_the_network() -> None:
    payment = w.payment(token=NATIVE, amount=15 * 10**17)
    standing = {**STANDING, "asset": "ETH", "amount": "1.500000000000000000"}
    lines = words(payment, w.CHAIN_ID, names(payment, w.CHAIN_ID, OWN, standing), KIND)
    assert lines[1].split() == ["pays", "1.500000000000000000", "ETH"]
    assert "the network's coin" in lines[2]


def test_by_the_services_word() -> None:
    """Without a configuration of one's own it is shown as that, beside what is signed."""
    lines = words(PAYMENT, w.CHAIN_ID, names(PAYMENT, w.CHAIN_ID, None, STANDING), KIND)
    assert lines[0] == f"Payout {PAYMENT.id} on chain {w.CHAIN_ID}"
    assert lines[1].split() == ["pays", "12.500000", "USDC"]
    assert lines[2].endswith("by the service")


@pytest.mark.parametrize("known", [OWN, None])
@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1.250000"},
        {"amount": "12.500001"},
        {"amount": "much"},
        {"network": "eip155:1"},
    ],
)
def test_a_service_that_contradicts_itself(known: Catalog | None, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        names(PAYMENT, w.CHAIN_ID, known, {**STANDING, **changes})


@pytest.mark.parametrize(
    "changes", [{"asset": "DAI"}, {"amount": "12500.000"}, {"amount": "0.000000000012500000"}]
)
def test_other_decimals_or_names_than_ones_own(changes: dict[str, Any]) -> None:
    """The service alone could shift the point; one's own configuration does not let it."""
    with pytest.raises(Refused):
        names(PAYMENT, w.CHAIN_ID, OWN, {**STANDING, **changes})


def test_the_point_of_a_networks_coin_cannot_be_shifted() -> None:
    payment = w.payment(token=NATIVE, amount=15 * 10**17)
    with pytest.raises(Refused):
        names(payment, w.CHAIN_ID, None, {**STANDING, "asset": "ETH", "amount": "15.0"})


def test_a_token_that_is_not_configured_is_the_services_word() -> None:
    other = replace(NETWORK, tokens=NETWORK.tokens[:1])
    found = names(PAYMENT, w.CHAIN_ID, Catalog({other.id: other}), STANDING)
    assert found.source == "the service"


def test_a_service_that_names_nothing() -> None:
    """What is signed is shown as it is; one's own configuration still names it."""
    (_, pays, of, *_) = words(PAYMENT, w.CHAIN_ID, names(PAYMENT, w.CHAIN_ID, None, {}), KIND)
    assert pays.split() == ["pays", "12500000", "base", "units"]
    assert "by nobody" in of
    assert names(PAYMENT, w.CHAIN_ID, OWN, {}).asset == crypto("USDC", 6)
    with pytest.raises(Refused):
        names(PAYMENT, w.CHAIN_ID, OWN, {"amount": "1.250000"})
    with pytest.raises(Refused):
        names(PAYMENT, w.CHAIN_ID, OWN, {"asset": "DAI"})


def test_nothing_writes_into_the_terminal() -> None:
    assert clean("USDC\x1b[2J\r\nETH\u202e") == "USDC[2JETH"
