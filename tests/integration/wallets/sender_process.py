"""A process that only sends: run by test_kill.py, which kills it.

python -m tests.integration.wallets.sender_process DATABASE RPC CHAIN_ID WALLET KEY
"""

from __future__ import annotations

import asyncio
import sys

from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, FeePolicy, Network, Token
from core.secrets import SecretBox
from tests.fakes import LocalSigner
from wallets.sending import Sending


async def main(url: str, rpc: str, chain_id: int, wallet: str, key: str) -> None:
    network = Network(
        id=f"eip155:{chain_id}",
        chain_id=chain_id,
        name="killed",
        rpc_urls=(rpc,),
        block_seconds=0,
        poll_ms=100,
        tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
        fees=FeePolicy(stuck_after_seconds=2),
    )
    database = Database(url)
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
    )
    async with Endpoints(network, timeout=5) as endpoints:
        listening = asyncio.create_task(context.listener.run(("transactions",)))
        signer = LocalSigner({wallet: key})
        await Sending(context, network, endpoints, signer, poll_seconds=0.1, lease_seconds=2).run()
        await listening


if __name__ == "__main__":
    url, rpc, chain_id, wallet, key = sys.argv[1:]
    asyncio.run(main(url, rpc, int(chain_id), wallet, key))
