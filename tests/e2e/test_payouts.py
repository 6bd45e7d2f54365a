"""Money leaves a running installation: below the signer's limit by itself, above it with a
person's signature, and neither API nor worker ever holds a key."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.e2e.town import Chains, Client, Refusal, Town, new_merchant, open_api, open_chains
from tests.e2e.town import units as base_units
from tests.process_memory import search
from wallets.keystore import opened

NETWORK = "eip155:31337"


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


def forms(secret: bytes) -> dict[str, bytes]:
    """How 32 bytes could be written down: in memory, in a log, in PostgreSQL's text."""
    return {
        "raw": secret,
        "reversed": secret[::-1],
        "hex": secret.hex().encode(),
        "decimal": str(int.from_bytes(secret, "big")).encode(),
        "base64": base64.b64encode(secret),
    }


def keys_of(town: Town) -> dict[str, bytes]:
    """Every key that signs, in the forms in which it could stand somewhere; and its password."""
    password = (town.data / "keys" / "keystore.password").read_text()
    needles = {"password": password.encode()}
    files = sorted((town.data / "signer" / "keys").glob("0x*.json"))
    assert len(files) == 3
    for file in files:
        secret = bytes(opened(file, password))
        needles |= {f"{file.name} {form}": text for form, text in forms(secret).items()}
    return needles


def shared_keys(town: Town) -> dict[str, bytes]:
    """What processes are given to prove themselves and to seal others' secrets."""
    needles: dict[str, bytes] = {}
    for name in ("service.key", "secret.key"):
        secret = base64.b64decode((town.data / "keys" / name).read_text(), validate=True)
        needles |= {f"{name} {form}": text for form, text in forms(secret).items()}
    return needles


async def test_no_key_is_in_the_memory_or_environment_of_api_and_worker(sandbox: Town) -> None:
    async with shop_with(sandbox, "1") as (shop, _, chains):
        await paid(shop, chains, await ask(shop, "0.1", somebody()))
    keys = keys_of(sandbox)
    known = {"control": shop.url.encode()}  # what it does hold is found by the same search
    names = {"KEYSTORE": b"BEZANT_KEYSTORE", "SIGNER": b"BEZANT_SIGNER"}
    for name, told in (("api", set[str]()), ("worker", {"SIGNER"})):
        found = search(sandbox.pid(name), keys | known | names)
        assert found["memory"] - {*names} == {"control"}, name
        assert found["environ"] - {"control"} == told, name


def dumped(url: str) -> Iterator[tuple[str, bytes]]:
    """Every table's name and rows, as PostgreSQL writes them: bytes as hex."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r'"
            " and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("copy {} to stdout").format(sql.SQL(table))
            with connection.cursor().copy(query) as rows:
                yield table, b"".join(rows)


async def test_no_secret_is_in_the_database_or_in_logs(sandbox: Town) -> None:
    """Last in this file: after all that the others did."""
    address = somebody()
    async with shop_with(sandbox, "1") as (shop, _, chains):
        await paid(shop, chains, await ask(shop, "0.1", address))
    secrets_ = keys_of(sandbox) | shared_keys(sandbox)
    logs = {file.name: file.read_bytes() for file in (sandbox.data / "logs").iterdir()}
    assert b"api_started" in logs["api.log"]
    tables = dict(dumped(sandbox.ready["database_url"]))
    assert address.encode() in tables["payouts"]
    logs["sandbox.log"] = sandbox.log("sandbox").encode()
    for name, content in (logs | tables).items():
        assert not [secret for secret, form in secrets_.items() if form in content], name
