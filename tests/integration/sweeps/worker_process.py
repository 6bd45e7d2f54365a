"""The worker's loops behind a sweep, and no others: run by test_kill.py, which kills it.

python -m tests.integration.sweeps.worker_process DATABASE NETWORK SOCKET OFFSET_SECONDS
NETWORK is a pickled core.networks.Network in base64.
"""

from __future__ import annotations

import asyncio
import base64
import pickle
import sys
from datetime import timedelta
from pathlib import Path

from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.networks import Catalog, Network
from core.secrets import SecretBox
from payments.following import follow
from tests.integration.wallets.signer.process import SHARED_KEY
from wallets.sending import Sending
from wallets.signer.client import SignerClient
from wallets.sweeps import Sweeps
from webhooks.desk import Desk


async def main(url: str, network: Network, socket: Path, offset: float) -> None:
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
    signer = SignerClient(socket, SHARED_KEY)
    async with Endpoints(network, timeout=5) as endpoints, Endpoints(network, timeout=60) as slow:
        await asyncio.gather(
            context.listener.run(("transactions", "sweeps")),
            Sweeps(context, network, slow, poll_seconds=0.1).run(),
            Sending(context, network, slow, signer, poll_seconds=0.1).run(),
            follow(context, network, endpoints, Desk()),
        )


if __name__ == "__main__":
    where, packed, at, seconds = sys.argv[1:]
    chosen = pickle.loads(base64.b64decode(packed))  # noqa: S301  (the test's own)
    asyncio.run(main(where, chosen, Path(at), float(seconds)))
