"""Whose the treasury is: read from our factory on each network, so that inflow has a meaning."""

from __future__ import annotations

import asyncio
from typing import Any

from eth_hash.auto import keccak
from sqlalchemy.dialects.postgresql import insert

from chain.endpoints import Endpoint, Endpoints
from chain.wire import CALL
from core.context import Context
from core.networks import Network
from wallets.tables import HouseAddress

_TREASURY = "0x" + keccak(b"treasury()")[:4].hex()
LOOK_SECONDS = 600  # a change is visible on chain 48 h ahead


async def follow_treasury(context: Context, network: Network, endpoints: Endpoints) -> None:
    """For ever. A treasury that was replaced stays the house's. Raises ChainError."""
    assert network.factory is not None  # noqa: S101  (the caller looked)
    while True:
        treasury = await _treasury(endpoints.ranked()[0], network.factory)
        if treasury is not None:
            async with context.database.begin() as session:
                await session.execute(
                    insert(HouseAddress)
                    .values(network=network.id, address=treasury, role="treasury")
                    .on_conflict_do_nothing()
                )
        await asyncio.sleep(LOOK_SECONDS)


async def _treasury(endpoint: Endpoint, factory: str) -> str | None:
    """Lower case; None while there is none. By plain JSON: the worker does without web3."""
    answer: Any = await endpoint.rpc.call(CALL, {"to": factory, "data": _TREASURY}, "latest")
    word = bytes.fromhex(str(answer)[2:])[-20:]
    return "0x" + word.hex() if any(word) else None
