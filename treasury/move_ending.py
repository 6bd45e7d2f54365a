"""A person ends a move whose other side never arrives: what is in transit is written off
(`expense:losses`), and what shows up after all is taken back out of there.

The rule is pure; `lock` and `write_off` are called in the transaction that resolves the Break.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import Conflict, NotFound
from core.ids import show
from ledger.journal import post
from payments.arrivals import keep_blocks_out
from treasury import bank_settling, move_booking
from treasury.move_cases import advance, load
from treasury.move_machine import MoveStatus, Way, Windows
from treasury.move_tables import Move
from wallets import expected
from wallets.sweep_facts import TransactionFact
from wallets.transactions import Status as Sent


def refuse(way: Way, status: MoveStatus, left: int, sent: TransactionFact | None) -> None:
    """Raises Conflict where nothing may be written off. left: base units in transit by the books.

    A venue may take for ever over a withdrawal, so no word of its is waited for. A transaction of
    ours comes to its end by itself: until it is deep enough it may be reverted or replaced.
    """
    if not left:
        raise Conflict(
            f"nothing of the move is in transit: it is {status}; `explained` is allowed",
            code="not_in_transit",
        )
    if way is Way.SEND and (sent is None or not sent.worked or sent.status != Sent.CONFIRMED):
        found = "is not known" if sent is None else f"is {sent.status}"
        raise Conflict(
            f"our transaction {found}, and may still fail or be replaced: `write_off` is allowed"
            " once it is confirmed, until then `explained`",
            code="transaction_not_final",
        )


async def lock(session: AsyncSession, move_id: UUID) -> None:
    """Keeps out whoever may book the other side (its worker, blocks, statements) until the commit.
    Before its Break is locked, as whoever follows the move does. Raises NotFound."""
    query = select(Move).where(Move.id == move_id).with_for_update()
    row = (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise NotFound("no such move")
    if row.network is not None:
        await keep_blocks_out(session, row.network)
    for place in (row.source, row.destination):
        if place.startswith("bank:"):
            await bank_settling.lock(session, place.removeprefix("bank:"))


async def write_off(
    session: AsyncSession, context: Context, move_id: UUID, key: str, evidence: dict[str, Any]
) -> UUID:
    """The entry's id, by its `key`; the move is locked. Raises Conflict `not_in_transit`,
    `transaction_not_final`."""
    case = await load(session, move_id, lock=True)
    row, left = case.row, case.left or 0
    refuse(Way(row.way), MoveStatus(row.status), left, case.transaction)
    entry = move_booking.lost(row, left, key, evidence, context.clock.now())
    await post(session, [entry])
    if row.way == Way.WITHDRAW:
        await expected.lose(session, show("mov", row.id), lost=True)
        await expected.close(session, show("mov", row.id))
    return entry.id


async def end(session: AsyncSession, context: Context, move_id: UUID) -> None:
    """Judges it once its Break is resolved; its worker looks again from the commit on."""
    await advance(session, context, move_id, Windows())
    await expected.tell(session, show("mov", move_id))
