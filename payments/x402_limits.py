"""How much the house carries for one merchant."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.networks import Network
from payments.x402_tables import Settlement
from payments.x402_terms import NotPaid

WINDOW = timedelta(hours=1)


async def check(
    session: AsyncSession, network: Network, merchant_id: UUID, now: datetime, gas: int = 0
) -> None:
    """Raises NotPaid `relay_limit` when the hour's settlements are used up, or their gas is with
    `gas` wei more. What was refused cost no gas, but counts as a try."""
    policy = network.x402
    if policy is None:
        raise NotPaid("invalid_network", "nothing is settled on this network")
    query = select(func.count(), func.coalesce(func.sum(Settlement.fee_cap), 0)).where(
        Settlement.merchant_id == merchant_id,
        Settlement.network == network.id,
        Settlement.created_at > now - WINDOW,
    )
    made, spent = (await session.execute(query)).one()
    others = made - bool(gas)  # the one that is about to cost it is there already
    if others >= policy.per_hour or (spent or 0) + gas > policy.gas_per_hour:
        raise NotPaid("relay_limit", "no more is settled for this merchant within the hour")
