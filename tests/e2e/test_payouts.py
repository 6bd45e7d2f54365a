"""Money leaves a running installation: below the signer's limit by itself, above it with a
person's signature, and neither API nor worker ever holds a key."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.town import Chains, Client, Refusal, Town, new_merchant, open_api, open_chains
from tests.e2e.town import units as base_units
from wallets.keystore import opened

NETWORK = "eip155:31337"
CHUNK = 1 << 20


@asynccontextmanager
async def shop_with(town: Town, amount: str) -> AsyncIterator[tuple[Client, Client, Chains]]:
    """A merchant who has earned `amount` ETH, the operator, the chains."""
    async with open_api(town.ready) as (_, operator), open_chains(town.ready) as chains:
        merchant = await new_merchant(operator, "Payouts")
        invoice = await merchant.invoice(amount, "ETH", assets=["ETH"], networks=[NETWORK])
        await chains.pay(invoice, "ETH")
        await chains.mine()
        await merchant.becomes(invoice, "settled")
        yield merchant, operator, chains


def somebody() -> str:
    return "0x" + secrets.token_hex(20)


async def ask(shop: Client, amount: str, address: str) -> Any:
    body = {"amount": amount, "asset": "ETH", "network": NETWORK, "address": address}
    return await shop.post("/v1/payouts", body)


async def paid(shop: Client, chains: Chains, payout: dict[str, Any]) -> Any:
    """Its transaction is mined as soon as it is sent; then it is buried."""
    path = f"/v1/payouts/{payout['id']}"
    await shop.shows(
        path, lambda p: p["transactions"] and p["transactions"][0]["status"] == "mined"
    )
    await chains.mine()
    return await shop.shows(path, lambda p: p["status"] == "paid")


def approve(town: Town, payout: dict[str, Any], shop: Client) -> dict[str, Any]:
    """As a person does, with a key of their own in a file."""
    command = [
        *(sys.executable, "-m", "bezant.cli", "approve", payout["id"], "--yes", "--json"),
        *("--key", str(town.data / "keys" / "approver.key")),
        *("--url", shop.url, "--api-key", shop.key),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def test_below_the_limit_it_leaves_and_above_it_waits_for_a_person(sandbox: Town) -> None:
    async with shop_with(sandbox, "3") as (shop, operator, chains):
        node, first, second = chains.nodes[NETWORK], somebody(), somebody()
        small = await paid(shop, chains, await ask(shop, "0.5", first))
        assert await node.balance(first) == 5 * 10**17

        large = await ask(shop, "1.5", second)
        path = f"/v1/payouts/{large['id']}"
        held = await shop.shows(path, lambda p: p["status"] == "held")
        assert "approval_needed" in held["reasons"]
        assert held["approvals"] == {"needed": 1, "given": 0}
        assert await node.balance(second) == 0
        approve(sandbox, large, shop)
        large = await paid(shop, chains, large)
        assert await node.balance(second) == 15 * 10**17

        [balance] = [
            b for b in (await shop.get("/v1/balances"))["data"] if b["asset"] == "ETH"
        ]  # fmt: skip
        spent = sum(base_units(p[f]) for p in (small, large) for f in ("amount", "network_fee"))
        assert base_units(balance["available"]) == 3 * 10**18 - spent
        assert base_units(balance["reserved"]) == 0
        assert (await operator.get("/v1/ledger/verify"))["ok"]
        await assert_hot_equals_chain(sandbox, operator, chains)


async def assert_hot_equals_chain(town: Town, operator: Client, chains: Chains) -> None:
    """To the wei, for every asset on every network."""
    with psycopg.connect(town.ready["database_url"]) as connection:
        rows = connection.execute("select address from hot_wallets where kind in ('hot','relayer')")
        ours = {row[0] for row in rows}
    for network in chains.networks:
        accounts = await operator.every(f"/v1/ledger/accounts?prefix=network:{network}:hot")
        booked = {a["asset"]: base_units(a["balance"]) for a in accounts}
        assert len(booked) == len(chains.tokens[network]) + 1
        for asset, amount in booked.items():
            assert await chains.held(network, asset, ours) == amount, (network, asset)


async def test_a_payout_of_more_than_there_is_is_refused(sandbox: Town) -> None:
    async with shop_with(sandbox, "0.2") as (shop, _, _):
        with pytest.raises(Refusal) as refused:
            await ask(shop, "0.2", somebody())  # nothing is left for the fee
        assert (refused.value.status, refused.value.code) == (409, "insufficient_funds")


# -- where keys are ------------------------------------------------------------------------------


def in_memory(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which of these byte strings stand in what a process has written or may write."""
    found: set[str] = set()
    longest = max(len(needle) for needle in needles.values())
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in regions(pid):
            at, tail = start, b""
            while at < end:
                try:
                    memory.seek(at)
                    chunk = memory.read(min(CHUNK, end - at))
                except OSError:
                    break  # gone meanwhile
                if not chunk:
                    break
                window = tail + chunk
                found |= {name for name, needle in needles.items() if needle in window}
                tail, at = window[-longest:], at + len(chunk)
    return found


def regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if match and "[v" not in line:
            yield int(match[1], 16), int(match[2], 16)


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def keys_of(town: Town) -> dict[str, bytes]:
    """Every key that signs, in the forms in which it could stand somewhere; and its password."""
    password = (town.data / "keys" / "keystore.password").read_text()
    needles = {"password": password.encode()}
    for file in (town.data / "signer" / "keys").glob("0x*.json"):
        secret = bytes(opened(file, password))
        needles[f"{file.name} raw"] = secret
        needles[f"{file.name} reversed"] = secret[::-1]
        needles[f"{file.name} hex"] = secret.hex().encode()
    return needles


@pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of other processes")
async def test_no_key_is_in_the_memory_or_environment_of_api_and_worker(sandbox: Town) -> None:
    async with shop_with(sandbox, "1") as (shop, _, chains):
        await paid(shop, chains, await ask(shop, "0.1", somebody()))
    keys = keys_of(sandbox)
    assert len(keys) == 1 + 3 * 3
    known = {"control": shop.url.encode()}  # what it does hold is found by the same search
    for name in ("api", "worker"):
        pid = sandbox.pid(name)
        assert in_memory(pid, keys | known) == {"control"}, name
        assert not [key for key, needle in keys.items() if needle in environment(pid)]
        assert b"KEYSTORE" not in environment(pid)
    assert b"SIGNER" not in environment(sandbox.pid("api"))
