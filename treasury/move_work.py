"""The worker's loop of moves: intent stored, call with no transaction open, outcome stored.

Any number of workers may do this at once, each for the venues that it knows. A withdrawal's intent
is committed before it leaves: whoever finds it so afterwards, and the caller gone, asks the venue.
Each write is fenced by the version that its step has read. Leases and questions live by wall time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from core.context import Context
from core.ids import read, show
from core.listen import Subscription
from core.work import DATABASE_AWAY, Worker
from exchanges.protocol import Exchange
from exchanges.types import Venue
from treasury import move_sending
from treasury.move_answers import (
    Address,
    Allowed,
    Answer,
    Nothing,
    about_to_leave,
    apply,
)
from treasury.move_asking import Asking
from treasury.move_cases import advance, load
from treasury.move_machine import Action, MoveStatus, Way, Windows, judge
from treasury.move_tables import Move
from wallets import expected
from wallets.expected import CHANNEL

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
MARGIN_SECONDS = 5.0  # a call ends before its lease does
STALL_SECONDS = 5.0  # between the intent and the call: a process that was stopped must not send

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


class Moves:
    """Carries moves out and follows them to their proved end."""

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
        self._context = context
        self._exchanges = exchanges
        self._windows = windows
        self._lease = timedelta(seconds=lease_seconds)
        self._stall = min(self._lease / 2, timedelta(seconds=STALL_SECONDS))
        patience = max(lease_seconds - MARGIN_SECONDS, lease_seconds / 2)
        self._asking = Asking(context, exchanges, patience)
        self._worker = Worker(
            "moves", self.claim, self.step, parallel=parallel, poll_seconds=poll_seconds
        )

    async def run(self) -> None:
        """Works until cancelled."""
        listener = self._context.listener
        async with listener.subscribe(CHANNEL) as notified, listener.subscribe(CHANNEL) as news:
            hearing = asyncio.create_task(self._hear(news))
            try:
                await self._worker.run(notified, self._context.clock)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def claim(self, limit: int) -> Sequence[UUID]:
        """Leases up to `limit` moves that are due."""
        now = wall()
        values = {
            "now": now,
            "venues": [venue.value for venue in self._exchanges],
            "limit": limit,
            "leased_until": now + self._lease,
        }
        async with self._context.database.statement() as connection:
            cursor = await connection.execute(_CLAIM, values)
            return [row[0] for row in await cursor.fetchall()]

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

    async def _hear(self, news: Subscription) -> None:
        while True:
            await self.heard(await news.next(None) or "")

    async def heard(self, reference: str) -> None:
        """What concerns a move has changed: it is looked at now. Polling would come to it."""
        number = read("mov", reference)
        if number is None:
            return
        try:
            async with self._context.database.statement() as connection:
                await connection.execute(_NEWS, {"now": wall(), "id": number})
        except DATABASE_AWAY as error:
            log.warning("news_missed", error=type(error).__name__)
        self._worker.wake()

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
            about_to_leave(fresh, now)
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
        """The outcome with all that follows from it, in one transaction, if the row still is what
        the step has read."""
        async with self._context.database.begin() as session:
            fresh = await self._locked(session, row)
            if fresh is None:
                log.warning(
                    "move_overtaken", move=show("mov", row.id), answer=type(answer).__name__
                )
                return
            not_before = await apply(session, self._context, fresh, answer, wall())
            await self._advance(session, fresh, not_before)

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
            values = {"c": "venue_account", "p": f"{row.venue} "}  # its balances are read anew
            await session.execute(text("select pg_notify(:c, :p)"), values)

    async def _locked(self, session: AsyncSession, row: Move) -> Move | None:
        query = select(Move).where(Move.id == row.id, Move.version == row.version)
        query = query.with_for_update().execution_options(populate_existing=True)
        return (await session.scalars(query)).one_or_none()
