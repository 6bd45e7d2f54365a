"""The policy's file: what it means, and that nothing wrong in it passes."""

from __future__ import annotations

import pytest

from core.errors import Misconfigured
from core.networks import NATIVE
from tests.unit.wallets.signer import world as w
from wallets.signer.policy import parse


def test_a_policy_means_what_it_says() -> None:
    policy = parse(w.POLICY)
    assert policy.needed == 2
    assert [a.name for a in policy.approvers] == ["Ada", "Bob", "Eve"]
    network = policy.networks[w.NETWORK]
    assert network.fee == 5 * 10**16
    relayer = {"sweep", "sweep_known", "relay", "relay_transfer", "deploy", "cancel"}
    assert network.wallets[w.RELAYER] == relayer
    ether, usdc = network.assets[NATIVE], network.assets[w.USDC]
    assert (ether.single, ether.per_hour, ether.per_day) == (w.ETHER, 3 * w.ETHER, 10 * w.ETHER)
    assert (usdc.single, usdc.largest, usdc.moves_per_day) == (10**9, None, None)
    assert policy.peers is None
    assert not network.sweep_any_token


def test_an_empty_policy_allows_nothing() -> None:
    policy = parse("")
    assert (policy.networks, policy.approvers, policy.needed) == ({}, (), 0)


@pytest.mark.parametrize(
    ("found", "instead", "told"),
    [
        ("needed = 2", "needed = 4", "1 to 3"),
        ("needed = 2", "needed = 0", "1 to 3"),
        ("needed = 2", "needed = true", "whole number"),
        ("needed = 2", "peers = ['root']\nneeded = 2", "peers"),
        ("needed = 2", "neded = 2", "needed is 0"),
        ("needed = 2", "more = 1\nneeded = 2", "more"),
        ("needed = 2", "needed = ", "no TOML"),
        (w.BOB, w.ADA, "twice"),
        (w.ADA, "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "checksum"),
        (w.ADA, w.HOT, "signs and approves"),
        ("chain_id = 31337", "chain_id = 1", "chain_id"),
        ('fee = "0.05"', "fee = 0.05", "text"),
        ('fee = "0.05"', 'fee = "-1"', "amount"),
        ('fee = "0.05"', "", "fee is missing"),
        ('single = "1"', 'single = "4"', "single <= per_hour"),
        ('single = "1000"', 'single = "0.0000001"', "6 decimals"),
        ('token = "native"', 'token = "ETH"', "an address"),
        (f'token = "{w.USDC}"', 'token = "native"', "twice"),
        ('"deploy"', '"delegatecall"', "no kind of intent"),
        (f'"{w.HOT}" =', '"0x12" =', "an address"),
        (f'"{w.INIT_HASH}"', '"0x12"', "keccak"),
        (f'destinations = ["{w.TREASURY}"]', "destinations = [1]", "list of texts"),
        ('moves_per_day = "100"', 'moves = "100"', "moves"),
    ],
)
def test_a_wrong_policy_is_one_sentence(found: str, instead: str, told: str) -> None:
    assert found in w.POLICY
    with pytest.raises(Misconfigured) as caught:
        parse(w.POLICY.replace(found, instead))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
