"""A worker that is killed at each step of a sweep: there is one sweep, and one transaction."""

from __future__ import annotations

import asyncio
import base64
import pickle
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from sqlalchemy import text

from tests.faultproxy import FaultProxy
from tests.integration.sweeps.sweeping import Sweeping
from tests.waiting import eventually

PATIENCE_SECONDS = 40


@asynccontextmanager
async def worker(sweeping: Sweeping, url: str) -> AsyncIterator[Process]:
    """Killed at the end, whatever it does then."""
    network = replace(sweeping.network, rpc_urls=(url,))
    packed = base64.b64encode(pickle.dumps(network)).decode()
    context = sweeping.world.context
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.sweeps.worker_process", context.database.url),
        *(packed, str(sweeping.signer.place.socket), str(context.clock.offset.total_seconds())),
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGKILL)
        await started.wait()


async def lease_ends(sweeping: Sweeping) -> None:
    """As half a minute later."""
    async with sweeping.world.context.database.begin() as session:
        await session.execute(text("update sweeps set leased_until = null"))
        await session.execute(text("update transactions set due_at = now() where status = 'sent'"))
        await session.execute(
            text("update transactions set due_at = now() where status = 'prepared'")
        )


async def retire_wallets(sweeping: Sweeping, moment: str) -> None:
    async with sweeping.world.context.database.begin() as session:
        await session.execute(text(f"update hot_wallets set retired_at = {moment}"))  # noqa: S608


async def test_killed_at_each_step(sweeping: Sweeping) -> None:
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(5)
    await sweeping.pay("USDC", dict.fromkeys(addresses, 3_000_000))
    await sweeping.pay("ETH", dict.fromkeys(addresses, 10**15))
    await sweeping.confirm()
    number = await sweeping.ask()

    def is_(status: str) -> Callable[[], Awaitable[bool]]:
        async def so() -> bool:
            return bool((await sweeping.show(number))["status"] == status)

        return so

    async with FaultProxy(sweeping.node.url) as proxy:

        def asked(method: str) -> Callable[[], Awaitable[bool]]:
            async def so() -> bool:
                return proxy.count(method) > 0

            return so

        # While it plans: nothing is written yet.
        proxy.hang(method="eth_getCode")
        async with worker(sweeping, proxy.url):
            await eventually(asked("eth_getCode"), PATIENCE_SECONDS)
        assert await sweeping.world.rows("sweep_items") == []
        assert (await sweeping.show(number))["status"] == "requested"
        proxy.clear()

        # Planned, and no transaction asked for.
        await retire_wallets(sweeping, "now()")
        await lease_ends(sweeping)
        async with worker(sweeping, proxy.url):
            await eventually(is_("approved"), PATIENCE_SECONDS)
        await assert_transactions(sweeping, [])
        await retire_wallets(sweeping, "null")

        # Asked for, and not signed: the node is silent about what it would cost.
        proxy.hang(method="eth_estimateGas")
        await lease_ends(sweeping)
        await due_now(sweeping, number)
        async with worker(sweeping, proxy.url):
            await eventually(asked("eth_estimateGas"), PATIENCE_SECONDS)
        await assert_transactions(sweeping, ["prepared"])
        proxy.clear()

        # Signed and stored, and no node has it.
        proxy.hang(method="eth_sendRawTransaction")
        await lease_ends(sweeping)
        async with worker(sweeping, proxy.url):
            await eventually(asked("eth_sendRawTransaction"), PATIENCE_SECONDS)
        await assert_transactions(sweeping, ["sent"])
        proxy.clear()

        await lease_ends(sweeping)
        async with worker(sweeping, proxy.url):
            await eventually(is_("in_transit"), PATIENCE_SECONDS)
            await sweeping.world.mine(3)
            await eventually(is_("done"), PATIENCE_SECONDS)

    assert {i["status"] for i in (await sweeping.show(number))["items"]} == {"swept"}
    await assert_transactions(sweeping, ["confirmed"])
    assert len(await sweeping.world.rows("transaction_variants")) == 1
    assert len(await sweeping.world.rows("sweep_items")) == 10
    assert await sweeping.events(number) == ["sweep.requested", "sweep.sending", "sweep.done"]
    assert await sweeping.treasury("USDC") - before["USDC"] == 15_000_000
    assert await sweeping.treasury("ETH") - before["ETH"] == 5 * 10**15
    await sweeping.assert_sound(before)


async def due_now(sweeping: Sweeping, number: UUID) -> None:
    async with sweeping.world.context.database.begin() as session:
        await session.execute(
            text("update sweeps set due_at = created_at where id = :id"), {"id": number}
        )


async def assert_transactions(sweeping: Sweeping, statuses: list[str]) -> None:
    rows = await sweeping.world.rows("transactions")
    assert [row.status for row in rows] == statuses
