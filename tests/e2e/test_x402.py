"""The page about x402, line by line: its shop and its payer, against a running installation."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from sandbox.processes import free_port
from tests.e2e.town import Chains, Town, new_merchant, open_api, open_chains, open_town
from tests.waiting import eventually
from tests.world import calldata

PAGE = Path(__file__).parent.parent.parent / "docs" / "x402.md"
NETWORK = "eip155:31337"


def programs() -> list[str]:
    """The page's own: a shop, and a payer."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@contextmanager
def running(program: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _mine(chains: Chains) -> None:
    """As the page's loop in the shell does."""
    while True:
        await chains.mine(1)
        await asyncio.sleep(0.5)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _pay(program: str, environment: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """What the payer prints: status and body, and the receipt."""
    with running(program, environment) as payer:
        said, _ = await asyncio.to_thread(payer.communicate, timeout=90)
    lines = said.strip().splitlines()
    assert lines[-1].startswith("{"), said
    return lines[-2], json.loads(lines[-1])


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Its own: a payer's authorization is good by wall time, and others move their sandbox's."""
    with open_town("--networks", "1") as town:
        yield town


async def test_the_page_sells_a_request(town: Town) -> None:
    ready, (shop, payer), account = town.ready, programs(), Account.create()
    async with open_api(ready) as (_, operator), open_chains(ready) as chains:
        merchant = await new_merchant(operator, "x402")
        node, usdc = chains.nodes[NETWORK], chains.tokens[NETWORK]["USDC"]
        mint = calldata("mint(address,uint256)", account.address, 100_000_000)
        await node.send(usdc, data=mint, gas=200_000)
        environment = {
            "URL": merchant.url,
            "KEY": merchant.key,
            "PORT": str(free_port()),
            "PAYER_KEY": "0x" + bytes(account.key).hex(),
        }
        mining = asyncio.create_task(_mine(chains))
        try:
            with running(shop, environment):
                await eventually(lambda: _listens(int(environment["PORT"])), 60)
                said, receipt = await _pay(payer, environment)
        finally:
            mining.cancel()
        assert said == '200 {"report":"rain until noon"}'
        assert (receipt["success"], receipt["payer"]) == (True, account.address)
        [settlement] = await merchant.every("/v1/x402/settlements?")
        assert (settlement["status"], settlement["amount"]) == ("done", "5.000000")
        assert settlement["tx_hash"] == receipt["transaction"]
        [balance] = (await merchant.get("/v1/balances"))["data"]
        assert (balance["asset"], balance["available"]) == ("USDC", "5.000000")
        assert await node.balance(account.address) == 0  # of ETH
        assert await node.balance(account.address, usdc) == 95_000_000
