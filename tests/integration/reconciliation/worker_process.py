"""A worker that reconciles and nothing else: run by test_runs.py, which kills it in the middle.

python -m tests.integration.reconciliation.worker_process DATABASE NETWORK OFFSET_SECONDS
NETWORK is a pickled core.networks.Network in base64. Its node never answers an eth_call.
"""

from __future__ import annotations

import asyncio
import base64
import pickle
import sys
from dataclasses import replace
from datetime import timedelta

from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.networks import Catalog, Network
from core.secrets import SecretBox
from reconciliation.running import Reconciling
from tests.faultproxy import FaultProxy


async def main(url: str, network: Network, offset: float) -> None:
    database, clock = Database(url), Clock()
    clock.set_offset(timedelta(seconds=offset))
    context = Context(
        database=database,
        clock=clock,
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
    )
    async with FaultProxy(network.rpc_urls[0]) as proxy:
        proxy.hang(method="eth_call")
        silent = replace(network, rpc_urls=(proxy.url,))
        async with Endpoints(silent, timeout=60) as endpoints:
            worker = Reconciling(context, {network.id: endpoints}, {}, every_seconds=None)
            await asyncio.gather(context.listener.run(("reconciliations",)), worker.run())


if __name__ == "__main__":
    where, packed, seconds = sys.argv[1:]
    chosen = pickle.loads(base64.b64decode(packed))  # noqa: S301  (the test's own)
    asyncio.run(main(where, chosen, float(seconds)))
