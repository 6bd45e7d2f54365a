"""Processes that send are killed at any moment: every payment leaves once, no nonce is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faultproxy import FaultProxy
from tests.integration.wallets.rig import Rig
from tests.settings import SEED, numbers
from tests.waiting import eventually

PAYMENTS = numbers(24, 200)
KILLS = numbers(3, 20)
PATIENCE = 45 + PAYMENTS / 2


@asynccontextmanager
async def process(rig: Rig, url: str) -> AsyncIterator[Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.wallets.sender_process",
        rig.database.url, url, str(rig.network.chain_id), rig.wallet, rig.key,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGKILL)
        await started.wait()


async def _statuses(rig: Rig) -> Counter[str]:
    return Counter(row.status for row in await rig.rows("transactions"))


async def _count(rig: Rig) -> int:
    return int(await rig.node.rpc("eth_getTransactionCount", rig.wallet, "latest"), 16)


async def test_killed_between_commit_and_nodes(rig: Rig) -> None:
    """Its bytes are stored and no node has them yet; the next process hands over these."""
    number = await rig.prepare()
    async with FaultProxy(rig.node.url) as proxy:
        proxy.hang(method="eth_sendRawTransaction")
        async with process(rig, proxy.url) as killed:

            async def on_its_way() -> bool:
                return proxy.count("eth_sendRawTransaction") == 1

            await eventually(on_its_way, 20)
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
        row = await rig.row(number)
        assert (row.status, row.nonce) == ("sent", 0)
        [variant] = await rig.rows("transaction_variants")
        assert variant.outcome is None
        assert await _count(rig) == 0
        async with process(rig, proxy.url):

            async def mined() -> bool:
                return await _count(rig) == 1

            await eventually(mined, 20)
    [own] = (await rig.apply()).mined
    assert (own.id, own.tx_hash) == (number, variant.tx_hash)
    assert len(await rig.rows("transaction_variants")) == 1


async def test_killed_at_any_moment(rig: Rig) -> None:
    luck = random.Random(f"sender {SEED}")
    amounts = [10**12 + i for i in range(PAYMENTS)]
    for amount in amounts:
        await rig.prepare(rig.payment(amount, to="0x" + f"{amount:040x}"))
    for _ in range(KILLS):
        before = await _count(rig)
        async with process(rig, rig.node.url) as first, process(rig, rig.node.url) as second:
            wanted = min(before + luck.randrange(1, 6), PAYMENTS)

            async def moved(wanted: int = wanted) -> bool:
                return await _count(rig) >= wanted

            await eventually(moved, PATIENCE)
            for one in (first, second):
                await asyncio.sleep(luck.random() * 0.05)  # a moment within its work
                one.send_signal(signal.SIGKILL)
        await rig.apply()
    async with process(rig, rig.node.url):

        async def all_sent() -> bool:
            await rig.apply()
            return (await _statuses(rig))["mined"] + (await _statuses(rig))["confirmed"] == PAYMENTS

        await eventually(all_sent, PATIENCE)
    rows = await rig.rows("transactions")
    assert [row.nonce for row in rows] == list(range(PAYMENTS))
    for amount in amounts:
        assert await rig.node.balance("0x" + f"{amount:040x}") == amount
    assert await _count(rig) == PAYMENTS
    await rig.assert_books_match_the_chain()
