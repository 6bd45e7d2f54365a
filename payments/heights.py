"""How far every network is followed, for whoever shows or judges confirmations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.networks import Catalog, Network
from payments.tables import NetworkCursor
from payments.tiers import Heights

NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def of(cursor: NetworkCursor) -> Heights:
    return Heights(cursor.number, cursor.safe, cursor.finalized)


def known_until(network: Network, block_time: datetime, now: datetime) -> datetime:
    """Until when the chain is known with a block of this time as its head.

    Where blocks come at an interval that is the block's own time, for a node that lags shows an
    old head and no later block is stamped earlier. A chain that mines on demand (block_seconds 0)
    is known up to the moment it was looked at.
    """
    return min(block_time, now) if network.block_seconds else now


async def load(session: AsyncSession) -> dict[str, Heights]:
    return {c.network: of(c) for c in await session.scalars(select(NetworkCursor))}


async def followed(session: AsyncSession, catalog: Catalog) -> dict[str, datetime]:
    """Until when each configured network is known; a network never followed is known to nothing.

    A network that an old invoice offers and that is no longer configured cannot hold its expiry
    up: nobody will ever follow it again.
    """
    query = select(NetworkCursor.network, NetworkCursor.followed_until)
    known = {row.network: row.followed_until for row in await session.execute(query)}
    return {network: known.get(network, NEVER) for network in catalog.networks}
