"""A second endpoint's word for what one of them showed (MONEY 2)."""

from __future__ import annotations

from sqlalchemy import select, update

from chain.blocks import Follower
from chain.types import Cursor
from core.context import Context
from core.networks import Network
from payments.tables import Deposit

AT_ONCE = 50


async def find_witnesses(context: Context, network: Network, follower: Follower) -> bool:
    """Asks every endpoint for the blocks that brought money; whether a deposit won a second
    witness. Off the way of the cursor: only a large deposit waits for this."""
    waiting = (
        select(Deposit)
        .where(
            Deposit.network == network.id,
            Deposit.status == "pending",
            Deposit.witnessed.is_(False),
        )
        .order_by(Deposit.block_number)
        .limit(AT_ONCE)
    )
    async with context.database.read() as session:
        deposits = (await session.scalars(waiting)).all()
    if not deposits:
        return False
    names = await follower.witnessed({Cursor(d.block_number, d.block_hash) for d in deposits})
    found = [
        d.id for d in deposits if (d.block_hash, d.tx_hash, d.position, d.address, d.token) in names
    ]
    if found:
        async with context.database.begin() as session:
            await session.execute(
                update(Deposit)
                .where(Deposit.id.in_(found), Deposit.status == "pending")
                .values(witnessed=True)
                .execution_options(synchronize_session=False)
            )
    return bool(found)
