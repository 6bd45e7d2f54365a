"""Whose the treasury is: read from our factory on each network, so that inflow has a meaning."""

from __future__ import annotations

import asyncio

from sqlalchemy.dialects.postgresql import insert

from bezant.nodes import read_address
from chain.endpoints import Endpoints
from core.context import Context
from core.networks import Network
from wallets.tables import HouseAddress

LOOK_SECONDS = 600  # a change is visible on chain 48 h ahead


async def follow_treasury(context: Context, network: Network, endpoints: Endpoints) -> None:
    """For ever. A treasury that was replaced stays the house's. Raises ChainError."""
    assert network.factory is not None  # noqa: S101  (the caller looked)
    while True:
        treasury = await read_address(endpoints.ranked()[0], network.factory, "treasury()")
        if treasury is not None:
            async with context.database.begin() as session:
                await session.execute(
                    insert(HouseAddress)
                    .values(network=network.id, address=treasury, role="treasury")
                    .on_conflict_do_nothing()
                )
        await asyncio.sleep(LOOK_SECONDS)
