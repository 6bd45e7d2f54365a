"""The worker's loop of moves (see VenueRows)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from core.context import Context
from core.ids import read, show
from core.listen import notify
from exchanges.protocol import Exchange
from exchanges.types import Venue
from prices.refreshing import CHANNEL as ACCOUNT
from treasury import move_sending
from treasury.answers import Nothing, leave
from treasury.move_answers import Address, Allowed, Answer, Overtaken, apply
from treasury.move_asking import Asking
from treasury.move_cases import advance, load
from treasury.move_machine import Action, MoveStatus, Way, Windows, judge
from treasury.move_tables import Move
from treasury.venue_rows import LEASE_SECONDS, VenueRows
from wallets import expected
from wallets.expected import CHANNEL

log = structlog.get_logger(__name__)

_CLAIM = """
with due as (
    select id from moves
    where due_at <= %(now)s and (venue is null or venue = any(%(venues)s))
        and (leased_until is null or leased_until <= %(now)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update moves m set leased_until = %(leased_until)s from due where m.id = due.id returning m.id
"""
_NEWS = "update moves set due_at = %(now)s where id = %(id)s"


class Moves(VenueRows):
    """Carries moves out and follows them to their proved end. That a withdrawal leaves is committed
    before it does."""

    name = "moves"
    channel = CHANNEL
    claiming = _CLAIM
    news = CHANNEL
    hurrying = _NEWS

    def __init__(
        self,
        context: Context,
        exchanges: Mapping[Venue, Exchange],
        *,
        windows: Windows = Windows(),  # noqa: B008 - frozen
        parallel: int = 4,
        poll_seconds: float = 0.5,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        super().__init__(
            context,
            exchanges,
            parallel=parallel,
            poll_seconds=poll_seconds,
            lease_seconds=lease_seconds,
        )
        self._windows = windows
        # A question each time that a move is due for one, whose answer all the others share.
        self._asking = Asking(context, exchanges, self._patience, windows.fiat * 4 / 5)

    def named(self, payload: str) -> dict[str, Any] | None:
        """`mov_...`."""
        number = read("mov", payload)
        return {"id": number} if number is not None else None

    async def step(self, move_id: UUID) -> None:
        """Whatever a move needs now; happening twice does no harm."""
        async with self._context.database.read() as session:
            case = await load(session, move_id)
        row = case.row
        facts = case.facts(resend_is_safe=self._asking.is_resend_safe(row))
        said = judge(facts, wall(), self._windows)
        match said.action:
            case Action.CHECK:
                await self._store(row, await self._asking.check(row))
            case Action.LEAVE if row.way == Way.WITHDRAW:
                left_at = wall()
                left = await self.leave(row, left_at)
                if left is not None:
                    until = left_at + self._stall
                    await self._store(left, await self._asking.withdraw(left, until))
            case Action.LEAVE:
                await self._send(row, await self._asking.check(row))
            case Action.ASK:
                await self._store(row, await self._asking.ask(row))
            case Action.LOOK:
                await self._store(row, Nothing())

    async def leave(self, row: Move, now: datetime) -> Move | None:
        """Commits that a withdrawal is about to leave; None: somebody else has it."""
        async with self._context.database.begin() as session:
            fresh = await self._locked(session, row)
            if fresh is None:
                return None
            if not fresh.sends:
                await expected.expect(
                    session,
                    reference=show("mov", row.id),
                    network=str(row.network),
                    address=str(row.address),
                    asset=row.asset,
                    amount=row.amount,
                    now=self._context.clock.now(),
                )
            leave(fresh, now)
            await advance(session, self._context, row.id, self._windows)
            # Due at the lease's end: should this process die now, another one asks.
            fresh.due_at, fresh.leased_until = now, now + self._lease
        return fresh

    async def _send(self, row: Move, answer: Answer) -> None:
        """Asks for the transaction, where the venue still names the same address."""
        async with self._context.database.begin() as session:
            fresh = await self._locked(session, row)
            if fresh is None:
                return
            now, before = wall(), fresh.address
            not_before = await apply(session, self._context, fresh, answer, now)
            known = isinstance(answer, Address | Allowed) and fresh.address == before
            if known and not (await load(session, row.id)).held:
                await move_sending.send(session, self._context, fresh, now)
            await self._advance(session, fresh, not_before)

    async def _store(self, row: Move, answer: Answer) -> None:
        await self.kept(lambda: self._write(row, answer))

    async def _write(self, row: Move, answer: Answer) -> None:
        """The outcome with all that follows from it, in one transaction, if the row still is what
        the step has read."""
        try:
            async with self._context.database.begin() as session:
                fresh = await self._locked(session, row)
                if fresh is None:
                    raise Overtaken
                not_before = await apply(session, self._context, fresh, answer, wall())
                await self._advance(session, fresh, not_before)
        except Overtaken:
            log.warning("move_overtaken", move=show("mov", row.id), answer=type(answer).__name__)

    async def _advance(self, session: AsyncSession, row: Move, not_before: datetime | None) -> None:
        said = await advance(
            session,
            self._context,
            row.id,
            self._windows,
            resend_is_safe=self._asking.is_resend_safe(row),
            not_before=not_before,
        )
        if said.status is MoveStatus.FAILED and row.way == Way.WITHDRAW and row.sends:
            await expected.close(session, show("mov", row.id))
        if row.venue is not None and row.booked:
            # its balances are read anew
            await notify(session, ACCOUNT, f"{row.venue} ")

    async def _locked(self, session: AsyncSession, row: Move) -> Move | None:
        query = select(Move).where(Move.id == row.id, Move.version == row.version)
        query = query.with_for_update().execution_options(populate_existing=True)
        return (await session.scalars(query)).one_or_none()
