"""How far every network is followed, for whoever shows or judges confirmations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import Raw
from core.networks import Catalog, Network
from payments.tables import NetworkCursor
from payments.tiers import Heights

Followed = dict[str, datetime]
NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


KNOWN = "select network, number, safe, finalized, followed_until from network_cursors"


def known_until(network: Network, block_time: datetime, now: datetime) -> datetime:
    """Until when the chain is known with a block of this time as its head.

    Where blocks come at an interval that is the block's own time, for a node that lags shows an
    old head and no later block is stamped earlier. A chain that mines on demand (block_seconds 0)
    is known up to the moment it was looked at.
    """
    return min(block_time, now) if network.block_seconds else now


async def load(session: AsyncSession) -> dict[str, Heights]:
    """How high every network is known."""
    return {
        c.network: Heights(c.number, c.safe, c.finalized)
        for c in await session.scalars(select(NetworkCursor))
    }


async def load_all(connection: Raw, catalog: Catalog) -> tuple[dict[str, Heights], Followed]:
    """How high, and until when, every network is known: one statement."""
    return known(await (await connection.execute(KNOWN)).fetchall(), catalog)


def known(rows: Iterable[tuple[Any, ...]], catalog: Catalog) -> tuple[dict[str, Heights], Followed]:
    """Of the rows of KNOWN. A network that was never followed is known to nothing.

    A network that an old invoice offers and that is no longer configured cannot hold its expiry
    up: nobody will ever follow it again.
    """
    heights, until = {}, {}
    for network, number, safe, finalized, followed_until in rows:
        heights[network] = Heights(number, safe, finalized)
        until[network] = followed_until
    return heights, {network: until.get(network, NEVER) for network in catalog.networks}
