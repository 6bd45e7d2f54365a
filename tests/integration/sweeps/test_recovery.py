"""Money at addresses of ours that the books do not know: found on command, and nothing is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from core.addresses import checksum
from core.db import Database
from core.keccak import keccak
from core.networks import NATIVE
from tests.integration.sweeps.conftest import Chain
from tests.integration.sweeps.sweeping import Sweeping, make_sweeping_on
from tests.world import calldata, chain, connect, network_of

TREASURY = "network:eip155:31337:treasury"


@pytest.fixture
def other_chain() -> Iterator[Chain]:
    with chain(31338) as made:
        yield made


async def unseen(sweeping: Sweeping, asset: str, address: str, amount: int) -> None:
    """As money that came before the network was followed: chain and books differ by it."""
    before = await sweeping.world.rows("network_cursors")
    token = sweeping.token(asset)
    if token == NATIVE:
        held = await sweeping.node.balance(address)
        await sweeping.node.rpc("anvil_setBalance", address, hex(held + amount))
    else:
        # The mint's Transfer goes to a stranger; the balance is then put where it is wanted.
        slot = "0x" + _slot(address).hex()
        held = await sweeping.node.balance(address, token)
        word = "0x" + (held + amount).to_bytes(32, "big").hex()
        await sweeping.node.rpc("anvil_setStorageAt", token, slot, word)
    await sweeping.world.mine()
    await sweeping.world.follow()
    assert len(await sweeping.world.rows("network_cursors")) == len(before)


def _slot(address: str) -> bytes:
    """OpenZeppelin's ERC20 keeps its balances in the mapping at slot 0."""
    found: bytes = keccak(bytes.fromhex(address[2:]).rjust(32, b"\0") + bytes(32))
    return found


async def test_money_from_before_the_books_comes_in_as_unknown(sweeping: Sweeping) -> None:
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(2)
    await sweeping.pay("ETH", {addresses[0]: 10**15})
    await sweeping.pay("DAI", {addresses[0]: 10**18})
    await sweeping.confirm()
    await unseen(sweeping, "ETH", addresses[0], 4 * 10**15)
    await unseen(sweeping, "DAI", addresses[0], 6 * 10**18)
    await unseen(sweeping, "DAI", addresses[1], 7 * 10**18)
    assert (await sweeping.finish(await sweeping.ask([addresses[1]], ["USDC"])))["skipped"] == [
        _skipped(addresses[1], "USDC", sweeping)
    ]
    shown = await sweeping.finish(await sweeping.ask(addresses))
    assert shown["status"] == "done"
    assert {t["asset"]: t["swept"] for t in shown["totals"]} == {
        "ETH": "0.005000000000000000",
        "DAI": "14.000000000000000000",
    }
    balances = await sweeping.world.balances()
    assert balances["suspense", "ETH"] == -4 * 10**15
    assert balances["suspense", "DAI"] == -13 * 10**18
    assert balances[TREASURY, "DAI"] == 14 * 10**18
    breaks = await sweeping.world.rows("breaks")
    assert {(b.asset, int(b.actual), b.facts["from"]) for b in breaks} == {
        ("ETH", 4 * 10**15, addresses[0]),
        ("DAI", 6 * 10**18, addresses[0]),
        ("DAI", 7 * 10**18, addresses[1]),
    }
    await sweeping.assert_sound(before)

    # A fork takes all of it back, and the same transactions bring it in again.
    await sweeping.node.reorg(4)
    await sweeping.world.follow()
    assert not [k for k in await sweeping.world.balances() if k[0] == "suspense"]
    await sweeping.world.advance(10)
    await sweeping.send()
    await sweeping.confirm()
    assert (await sweeping.world.balances())["suspense", "DAI"] == -13 * 10**18
    await sweeping.assert_sound(before)


def _skipped(address: str, asset: str, sweeping: Sweeping) -> dict[str, Any]:
    return {
        "address": checksum(address),
        "asset": asset,
        "token": checksum(sweeping.token(asset)),
        "reason": "empty",
        "retry_at": None,
    }


async def test_a_token_that_nobody_configured(sweeping: Sweeping) -> None:
    """The signer's owner allows it; the events say what arrived; the books do not hold it."""
    before = await sweeping.treasuries()
    [address] = await sweeping.addresses(1)
    foreign = await sweeping.node.deploy(
        "SandboxToken", ("string", "Odd"), ("string", "ODD"), ("uint8", 8)
    )
    await sweeping.node.send(
        foreign, data=calldata("mint(address,uint256)", address, 12_345), gas=200_000
    )
    nothing = "0x" + secrets.token_hex(20)
    await sweeping.allow_any_token()
    number = await sweeping.ask([address], [foreign, nothing])
    shown = await sweeping.finish(number)
    [item] = shown["items"]
    assert (item["asset"], item["token"].lower(), item["swept"]) == (None, foreign, "12345")
    assert [s["reason"] for s in shown["skipped"]] == ["not_a_token"]
    assert shown["status"] == "done"
    assert await sweeping.node.balance(sweeping.world.contracts.treasury, foreign) == 12_345
    assert await sweeping.world.rows("house_movements") == []
    await sweeping.assert_sound(before)


async def test_money_on_a_network_that_the_invoice_did_not_offer(
    database: Database, one_chain: Chain, other_chain: Chain
) -> None:
    """The same address on another chain: kept in the inbox, and swept by the same road there."""
    async with AsyncExitStack() as stack:
        networks = {}
        for number, (url, deployed) in ((31337, one_chain), (31338, other_chain)):
            node = await stack.enter_async_context(connect(url))
            networks[network_of(node, deployed, number)] = (node, deployed)
        first, second = networks
        both = await stack.enter_async_context(make_sweeping_on(database, networks, second))
        invoice = await both.world.invoice(networks=[first.id], assets=["USDC"])
        await both.world.pay(invoice, "USDC", network=1, amount=25_000_000)
        await both.world.mine(3)
        await both.world.follow()
        [deposit] = (await both.world.show(invoice))["deposits"]
        assert deposit["inbox"]["reason"] == "unexpected_network"
        address = str(invoice["payment_options"][0]["address"])
        held = await networks[second][0].balance(networks[second][1].treasury, both.token("USDC"))
        shown = await both.finish(await both.ask([address], ["USDC"]))
        assert (shown["status"], shown["totals"][0]["swept"]) == ("done", "25.000000")
        now_held = await networks[second][0].balance(
            networks[second][1].treasury, both.token("USDC")
        )
        assert now_held - held == 25_000_000
        balances = await both.world.balances()
        assert balances[f"network:{second.id}:treasury", "USDC"] == 25_000_000
        await both.world.assert_books_match_the_chain()
