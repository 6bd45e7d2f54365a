"""What others' transactions are to bring to addresses of the house (MONEY 2): written by whoever
asked for it, read by whoever applies blocks. They meet here, in the database's own order.

A venue tells the transaction of a withdrawal only after it was sent, so its block may be applied
first: while the hash is not known, an inflow that could be it waits for the answer.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.listen import notify
from wallets.tables import ExpectedInflow

CHANNEL = "moves"  # the payload is the reference of a move, or empty


async def expect(
    session: AsyncSession,
    *,
    reference: str,
    network: str,
    address: str,
    asset: str,
    amount: int,
    sender: str | None = None,
    now: datetime,
) -> None:
    """From the commit on; again is harmless.

    amount: the most that comes, in base units. sender: the address of ours that sends it, by a key
    that is not our signer's.
    """
    statement = insert(ExpectedInflow).values(
        reference=reference,
        network=network,
        address=address,
        asset=asset,
        amount=amount,
        sender=sender,
        tx_hash=None,
        arrived=False,
        closed=False,
        lost=False,
        created_at=now,
    )
    again = statement.on_conflict_do_update(
        index_elements=["reference"], set_={"sender": sender, "closed": False}
    )
    await session.execute(again)


async def identify(session: AsyncSession, reference: str, tx_hash: str, amount: int) -> None:
    """It is known by now which transaction brings it, and how much."""
    await _change(session, reference, tx_hash=tx_hash, amount=amount, closed=False)


async def close(session: AsyncSession, reference: str) -> None:
    """It will not come."""
    await _change(session, reference, closed=True)


async def lose(session: AsyncSession, reference: str, *, lost: bool) -> None:
    """Whether a person has written it off: then its move has nothing in transit that it could
    come from. It is still known by its transaction."""
    await _change(session, reference, lost=lost)


async def _change(session: AsyncSession, reference: str, **values: object) -> None:
    named = ExpectedInflow.reference == reference
    await session.execute(update(ExpectedInflow).where(named).values(**values))
    await tell(session, "")  # whoever applies blocks looks at what waits for an answer


async def arrived(session: AsyncSession, reference: str) -> bool:
    row = await session.get(ExpectedInflow, reference, populate_existing=True)
    return row is not None and row.arrived


async def waiting(
    session: AsyncSession, network: str, hashes: Collection[str]
) -> list[ExpectedInflow]:
    """Those that movements of these transactions may be, oldest first; one that was there already
    too: a fork may bring it once more."""
    open_ = (
        ExpectedInflow.tx_hash.is_(None),
        ExpectedInflow.closed.is_(False),
        ExpectedInflow.arrived.is_(False),
    )
    by_hash = ExpectedInflow.tx_hash.in_(hashes)
    query = select(ExpectedInflow).where(ExpectedInflow.network == network)
    query = query.where(or_(by_hash, open_[0] & open_[1] & open_[2]))
    query = query.order_by(ExpectedInflow.created_at, ExpectedInflow.reference)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


async def mark(session: AsyncSession, reference: str, *, arrived: bool) -> None:
    """A block has it, or a fork has taken it back; who awaits it is told at the commit."""
    named = ExpectedInflow.reference == reference
    await session.execute(update(ExpectedInflow).where(named).values(arrived=arrived))
    await tell(session, reference)


async def tell(session: AsyncSession, reference: str) -> None:
    await notify(session, CHANNEL, reference)
