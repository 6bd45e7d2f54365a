"""The worker's loops behind requests sold by x402: run by test_kill.py in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.networks import Catalog, Network
from core.secrets import SecretBox
from payments.following import follow
from payments.x402_checking import Checking
from payments.x402_settling import Settling
from tests.fakes import LocalSigner
from tests.integration.x402.shop import Shop
from wallets.sending import Sending
from webhooks.desk import Desk

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


async def _work(url: str, network: Network, keys: dict[str, str]) -> None:
    context = Context(
        database=Database(url),
        clock=Clock(),
        listener=Listener(Database(url)),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
        sandbox=True,
    )
    async with Endpoints(network, timeout=60) as endpoints, Endpoints(network, timeout=5) as blocks:
        await asyncio.gather(
            context.listener.run(("x402", "transactions")),
            Checking(context, network, endpoints, poll_seconds=0.1).run(),
            Settling(context, network, endpoints, poll_seconds=0.1).run(),
            Sending(context, network, endpoints, LocalSigner(keys), poll_seconds=0.1).run(),
            follow(context, network, blocks, Desk()),
        )


def serve(url: str, network: Network, keys: dict[str, str]) -> None:
    """Runs in the child."""
    asyncio.run(_work(url, network, keys))


@asynccontextmanager
async def worker(shop: Shop, rpc_url: str) -> AsyncIterator[None]:
    """Killed at the end, whatever it does then."""
    network = replace(shop.network, rpc_urls=(rpc_url,))
    url = shop.world.context.database.url
    process = PROCESSES.Process(target=serve, args=(url, network, shop.signer.keys))
    process.start()
    try:
        yield
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.join)
        assert process.exitcode == -signal.SIGKILL, "it had ended by itself"
