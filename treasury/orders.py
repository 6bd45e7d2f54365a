"""The worker's loop of orders (see VenueRows)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from core.context import Context
from core.errors import OrderRefused, OutcomeUnknown, VenueUnavailable
from core.listen import notify
from exchanges.protocol import Exchange
from exchanges.types import LimitOrder, Side, Venue, VenueOrder, VenueOrderStatus
from prices.refreshing import CHANNEL as ACCOUNT
from treasury import order_breaks
from treasury.answers import Absent, Away, NoAnswer, Nothing, Refusal, Unsent, leave
from treasury.conversion_cases import CHANNEL, Case, advance, lock
from treasury.conversion_machine import ConversionStatus
from treasury.conversion_orders import Limits
from treasury.conversion_tables import Order
from treasury.fills import book
from treasury.order_answers import Answer, Shown, apply, facts_of
from treasury.order_machine import (
    ENDED,
    Action,
    Decision,
    OrderStatus,
    Windows,
    decide,
)
from treasury.strangers import could_be_ours
from treasury.venue_rows import LEASE_SECONDS, VenueRows

log = structlog.get_logger(__name__)

_CLAIM = """
with due as (
    select id from orders
    where due_at <= %(now)s and venue = any(%(venues)s)
        and (leased_until is null or leased_until <= %(now)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update orders o set leased_until = %(leased_until)s from due where o.id = due.id returning o.id
"""
# News of the private stream: what is asked about is asked now; the answer may be under way already.
_NEWS = """
update orders set due_at = %(now)s
where venue = %(venue)s and client_id = %(client_id)s and status in ('unknown', 'open')
"""


class Orders(VenueRows):
    """Sends orders at these venues and follows them to their proved end. `sent` is committed before
    an order leaves."""

    name = "orders"
    channel = CHANNEL
    claiming = _CLAIM
    news = ACCOUNT
    hurrying = _NEWS

    def __init__(
        self,
        context: Context,
        exchanges: Mapping[Venue, Exchange],
        *,
        windows: Windows = Windows(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        parallel: int = 8,
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
        self._limits = limits

    def named(self, payload: str) -> dict[str, Any] | None:
        """`<venue> <client id>`."""
        venue, _, client_id = payload.partition(" ")
        return {"venue": venue, "client_id": client_id} if client_id else None

    async def step(self, order_id: UUID) -> None:
        """Whatever an order needs now; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Order, order_id)
        exchange = self._exchanges[Venue(row.venue)]
        match self._decide(row).action:
            case Action.PLACE:
                left_at = wall()
                left = await self._leave(row, left_at)
                if left is not None:
                    await self._store(left, await self._place(left, left_at, exchange))
            case Action.ASK:
                await self._store(row, await self._ask(row, exchange))
            case Action.REST:
                await self._store(row, Nothing())

    def _decide(self, row: Order) -> Decision:
        resend = self._exchanges[Venue(row.venue)].resend_returns_original
        return decide(facts_of(row, resend_returns_original=resend), wall(), self._windows)

    async def _leave(self, row: Order, now: datetime) -> Order | None:
        """Commits that it is about to leave; None: somebody else has it."""
        async with self._context.database.begin() as session:
            case = await lock(session, row.conversion_id)
            order = case.order(row.id)
            if order.version != row.version:
                return None
            leave(order, now)
            order.status = OrderStatus.SENT.value
            order.version += 1
            # Due at the lease's end: should this process die now, another one asks.
            order.due_at, order.leased_until = now, now + self._lease
            if case.conversion.status == ConversionStatus.ACCEPTED:
                await advance(session, self._context, case, now, self._limits)
        return order

    async def _place(self, row: Order, left_at: datetime, exchange: Exchange) -> Answer:
        if wall() > left_at + self._stall:
            return Unsent(0)
        try:
            async with asyncio.timeout(self._patience):
                shown = await exchange.place(
                    LimitOrder(
                        client_id=row.client_id,
                        symbol=row.symbol,
                        side=Side(row.side),
                        quantity=row.quantity,
                        price=row.limit_price,
                    )
                )
        except VenueUnavailable as error:
            log.warning("order_not_sent", order=row.client_id, error=str(error))
            return Unsent(error.retry_after)
        except OrderRefused as error:
            return Refusal(error.reason)
        except (OutcomeUnknown, TimeoutError) as error:
            log.warning("order_unknown", order=row.client_id, error=str(error))
            return NoAnswer()
        if shown.status is VenueOrderStatus.OPEN:  # an IOC is over by now: what became of it
            answer = await self._ask(row, exchange)
            return answer if isinstance(answer, Shown) else Shown(shown, ())
        try:
            return await self._read(shown, exchange)
        except (VenueUnavailable, OrderRefused):  # it is there, that much is known
            return Shown(shown, ())

    async def _ask(self, row: Order, exchange: Exchange) -> Answer:
        try:
            async with asyncio.timeout(self._patience):
                since = row.sent_at or row.created_at
                shown = await exchange.order(row.symbol, row.client_id, since)
                if shown is not None:
                    return await self._read(shown, exchange)
                if row.ended_at is None and row.sends:
                    found = await exchange.fills_since(row.symbol, since)
                    async with self._context.database.read() as session:
                        if await could_be_ours(session, row, found):
                            return Away(None)  # executions that are nobody's: no proof of absence
                return Absent()
        except VenueUnavailable as error:
            log.warning("order_not_asked", order=row.client_id, error=str(error))
            return Away(error.retry_after)
        except OrderRefused as error:  # the question, not the order: a permission that is gone
            log.error("order_question_refused", order=row.client_id, error=str(error))
            return Away(None)
        except TimeoutError:
            return Away(None)

    async def _read(self, shown: VenueOrder, exchange: Exchange) -> Shown:
        """Its fills, over REST: the only proof."""
        return Shown(shown, tuple(await exchange.fills(shown.symbol, shown.venue_id)))

    async def _store(self, row: Order, answer: Answer) -> None:
        await self.kept(lambda: self._write(row, answer))

    async def _write(self, row: Order, answer: Answer) -> None:
        """The outcome with all that follows from it, in one transaction, if the row still is what
        the step has read."""
        now = wall()
        async with self._context.database.begin() as session:
            case = await lock(session, row.conversion_id)
            order = case.order(row.id)
            if order.version != row.version:
                log.warning("order_overtaken", order=row.client_id, answer=type(answer).__name__)
                return
            not_before = apply(order, answer, now)
            if isinstance(answer, Shown):
                await book(session, self._context, order.venue, answer.fills, order)
            order.written_off = order.written_off or await order_breaks.decided(session, order)
            await self._settle(session, case, order, now, not_before)

    async def _settle(
        self,
        session: AsyncSession,
        case: Case,
        order: Order,
        now: datetime,
        not_before: datetime | None,
    ) -> None:
        decision = self._decide(order)
        order.status, order.dead = decision.status.value, decision.dead
        due_at = decision.due_at
        order.due_at = max(due_at, not_before) if due_at and not_before else due_at
        order.leased_until = None
        order.version += 1
        if decision.status in ENDED:
            order.ended_at = order.ended_at or now
            order.blocked = 0
            await order_breaks.close_for(session, self._context, order)
        elif decision.tell:
            await order_breaks.open_for(session, self._context, case, order, now)
        await advance(session, self._context, case, now, self._limits)
        if order.booked:
            # its balances are read anew
            await notify(session, ACCOUNT, f"{order.venue} ")
