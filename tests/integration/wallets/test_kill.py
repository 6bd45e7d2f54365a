"""Processes that send are killed at any moment: every payment leaves once, no nonce is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.faultproxy import FaultProxy
from tests.integration.wallets.rig import Rig
from tests.settings import SEED, numbers
from tests.waiting import eventually

PAYMENTS = numbers(24, 1000)
STRIKES = numbers(5, 60)
SENDERS = numbers(2, 4)
KINDS = ("kill", "lost", "errors", "fork", "fees")
PATIENCE = 45 + PAYMENTS / 2
BLOCK_SECONDS = 0.5


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


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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
    [own] = (await rig.apply(mined=False)).mined
    assert (own.id, own.tx_hash) == (number, variant.tx_hash)
    assert len(await rig.rows("transaction_variants")) == 1


class Trouble:
    """What may befall senders, drawn from the seed; and time, which no fork is in the middle of."""

    def __init__(self, rig: Rig, proxy: FaultProxy) -> None:
        self.rig, self.proxy = rig, proxy
        self._turn = asyncio.Lock()
        self.luck = random.Random(f"sender {SEED}")
        self.happened: Counter[str] = Counter()
        self._kinds = itertools.cycle(self.luck.sample(KINDS, len(KINDS)))

    async def mine(self) -> None:
        """Blocks by time as well: Anvil mines what arrives, and never again what it held back
        because it was too cheap, or what a fork has put back."""
        while True:
            async with self._turn:
                await self.rig.node.mine()
            await asyncio.sleep(BLOCK_SECONDS)

    async def strike(self, processes: list[Process]) -> None:
        kind = next(self._kinds)
        self.happened[kind] += 1
        if kind == "kill":
            await asyncio.sleep(self.luck.random() * 0.05)  # a moment within its work
            self.luck.choice(processes).send_signal(signal.SIGKILL)
        elif kind == "lost":  # the node takes the bytes, and nobody hears of it
            times = self.luck.randrange(1, 5)
            self.proxy.refuse(
                -32603, "Internal error", method="eth_sendRawTransaction", times=times
            )
        elif kind == "errors":
            self.proxy.http(503, times=self.luck.randrange(1, 10))
        elif kind == "fork":
            async with self._turn:
                await self.rig.apply(mined=False)
                depth = min(self.luck.randrange(1, 6), await self.rig.node.head() - self.first)
                if depth > 0:
                    await self.rig.node.reorg(depth)
        else:  # what was offered is not enough any more
            await self.rig.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(25 * 10**9))
            await self.rig.node.mine()

    @property
    def first(self) -> int:
        """The block before ours."""
        return min(self.rig.known)


async def test_whatever_happens_each_payment_leaves_once(alone: Rig) -> None:
    rig = alone
    amounts = [10**12 + i for i in range(PAYMENTS)]
    for amount in amounts:
        await rig.prepare(rig.payment(amount, to="0x" + f"{amount:040x}"))

    async def done() -> bool:
        await rig.apply(mined=False)
        statuses = Counter(row.status for row in await rig.rows("transactions"))
        return statuses["mined"] + statuses["confirmed"] == PAYMENTS

    async with FaultProxy(rig.node.url) as proxy, AsyncExitStack() as stack:
        trouble = Trouble(rig, proxy)
        mining = asyncio.create_task(trouble.mine())
        stack.push_async_callback(ended, mining)
        running = [await stack.enter_async_context(process(rig, proxy.url)) for _ in range(SENDERS)]
        for _ in range(STRIKES):
            before = await _count(rig)
            wanted = min(before + trouble.luck.randrange(1, 1 + PAYMENTS // STRIKES), PAYMENTS)

            async def moved(wanted: int = wanted) -> bool:
                await rig.apply(mined=False)
                return await _count(rig) >= wanted

            await eventually(moved, PATIENCE)
            await trouble.strike(running)
            running = [p for p in running if p.returncode is None]
            while len(running) < SENDERS:
                running.append(await stack.enter_async_context(process(rig, proxy.url)))
        await eventually(done, PATIENCE)
    rows = await rig.rows("transactions")
    assert [row.nonce for row in rows] == list(range(PAYMENTS))
    for amount in amounts:
        assert await rig.node.balance("0x" + f"{amount:040x}") == amount
    assert await _count(rig) == PAYMENTS
    await rig.assert_books_match_the_chain()
    variants = len(await rig.rows("transaction_variants"))
    print(f"soak: {PAYMENTS} payments, {variants} variants, {dict(trouble.happened)}")
