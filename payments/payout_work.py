"""The worker's loop of payouts: rows that are due, one step each (DESIGN 1, decision 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import wall
from core.context import Context
from core.db import raw
from core.errors import SignerAway, Unavailable
from core.listen import Subscription
from core.work import Worker
from payments import payout_decisions, refund_inbox
from payments.payout_cases import Changes, lock, rejudge_all
from payments.payout_decisions import Said
from payments.payout_facts import BACK, Sent, Status
from payments.payout_requests import wake
from payments.payout_sending import Prepare, Sending, gather, joins, lock_batch, wake_batch
from payments.payout_tables import Approval, Payout
from payments.payouts import save
from risk import screening
from wallets import transactions
from wallets.signer.client import Signer
from wallets.transactions import Own
from wallets.transactions import Status as TransactionStatus

log = structlog.get_logger()

CHANNEL = "payouts"
LEASE_SECONDS = 30
AGAIN_SECONDS = {"screening": 10, "velocity_exceeded": 60, "fees_exceeded": 60}
AWAY_SECONDS = 5

# Due rows; those of which screening says something else by now; and those whose transaction ended
# without a block, or needs what it was not given.
_CLAIM = """
with due as (
    select p.id from payouts p
    where p.due_at <= %(now)s and (p.leased_until is null or p.leased_until <= %(wall)s)
    order by p.due_at, p.id limit %(limit)s for update of p skip locked
), screened as (
    select p.id from payouts p
    join screenings s on s.subject = 'payout' and s.subject_id = p.id
    where s.verdict <> 'hold' and (p.status = 'held' and p.screening = 'hold'
            or p.status = 'requested' and p.screening is null and p.due_at > %(now)s)
        and (p.leased_until is null or p.leased_until <= %(wall)s)
    order by p.id limit %(limit)s for update of p skip locked
), ended as (
    select p.id from payouts p join transactions t on t.id = p.transaction_id
    where p.status = 'sending' and p.outcome is null
        and (p.leased_until is null or p.leased_until <= %(wall)s)
        and (t.status in ('failed', 'cancelled') and t.block_number is null
            or t.status = 'prepared' and t.reason = any(%(back)s))
    order by p.id limit %(limit)s for update of p skip locked
)
update payouts p set leased_until = %(leased_until)s
from (
    select id from due union select id from screened union select id from ended limit %(limit)s
) as c where p.id = c.id
returning p.id
"""
# The signer's words for what more approvals, or another moment, would allow.
BACK_TO_PEOPLE = ["approval_needed", "velocity_exceeded", "expired"]


class Payouts:
    """`prepare` asks for a transaction: wallets.transactions.prepare, save in tests."""

    def __init__(
        self,
        context: Context,
        signer: Signer,
        *,
        prepare: Prepare = transactions.prepare,
        parallel: int = 8,
        poll_seconds: float = 1.0,
    ) -> None:
        self._context = context
        self._signer = signer
        self._sending = Sending(context, signer, prepare)
        self._worker = Worker(
            "payouts", self.claim, self.step, parallel=parallel, poll_seconds=poll_seconds
        )

    async def run(self) -> None:
        """Works until cancelled. A verdict of screening wakes it as well."""
        listener = self._context.listener
        async with (
            listener.subscribe(CHANNEL) as notified,
            listener.subscribe(screening.CHANNEL) as screened,
        ):
            waking = asyncio.create_task(self._wake_on(screened))
            try:
                await self._worker.run(notified, self._context.clock)
            finally:
                waking.cancel()
                await asyncio.gather(waking, return_exceptions=True)

    async def _wake_on(self, notified: Subscription) -> None:
        while True:
            await notified.next(None)
            notified.drain()
            self._worker.wake()

    async def claim(self, limit: int) -> Sequence[UUID]:
        now = wall()
        values = {
            "now": self._context.clock.now(),
            "wall": now,
            "leased_until": now + timedelta(seconds=LEASE_SECONDS),
            "limit": limit,
            "back": BACK_TO_PEOPLE,
        }
        async with self._context.database.statement() as connection:
            cursor = await connection.execute(_CLAIM, values)
            return [row[0] for row in await cursor.fetchall()]

    async def step(self, payout_id: UUID) -> None:
        """Whatever a payout needs now; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Payout, payout_id)
        network = self._context.catalog.networks.get(row.network)
        together = network is not None and joins(row, network)
        try:
            if row.status in BACK:
                await self._tidy(row)
            elif row.transaction_id is not None:
                await self._ended(row)
            elif row.status == Status.APPROVED and together:
                await self._send_batch(row)
            else:
                await self._decide(row, together=together)
        except (SignerAway, Unavailable) as error:
            log.warning("payout_waits", payout=str(payout_id), error=str(error))
            await self._later(payout_id, AWAY_SECONDS)

    async def _decide(self, row: Payout, *, together: bool) -> None:
        verdict = await payout_decisions.screened(self._context, row.id)
        if verdict is None:
            await self._later(row.id, payout_decisions.PATIENCE.seconds)
            return
        said = await payout_decisions.ask(self._context, self._signer, row.id, verdict)
        if said is None:
            log.warning("no_hot_wallet", network=row.network)
            await self._later(row.id, AWAY_SECONDS)
            return
        async with self._context.database.begin() as session:
            if row.batch_id is not None:
                await lock_batch(session, row.batch_id)
            if (fresh := await self._locked(session, row)) is None:
                return
            changes = Changes(self._context, self._context.clock.now())
            await self._judged(session, fresh, said, changes)
            if fresh.status == Status.APPROVED and not together:
                await self._sending.send(session, [fresh], changes)
            await save(session, changes)
            if fresh.batch_id is not None:  # those that wait for it, when it was the last
                await wake_batch(session, fresh.batch_id, changes.now)

    async def _judged(
        self, session: AsyncSession, row: Payout, said: Said, changes: Changes
    ) -> None:
        row.due_at = None
        await payout_decisions.apply(session, self._context, row, said, changes)
        if row.status != Status.HELD or row.overdrawn:
            return
        waits = [AGAIN_SECONDS[r] for r in row.reasons if r in AGAIN_SECONDS]
        if waits:
            row.due_at = changes.now + timedelta(seconds=min(waits))
        elif row.needed:
            query = select(Approval.expires_at).where(Approval.payout_id == row.id)
            row.due_at = await session.scalar(query.order_by(Approval.id.desc()).limit(1))

    async def _send_batch(self, row: Payout) -> None:
        """All that is approved in one transaction; one by one where the signer wants it so."""
        async with self._context.database.read() as session:
            rows = await gather(session, row, locked=False)
        alone = len(rows) > 1 and not await self._sending.allowed_together(rows)
        async with self._context.database.begin() as session:
            assert row.batch_id is not None  # noqa: S101  (the caller saw it)
            await lock_batch(session, row.batch_id)
            found = await gather(session, row, locked=True)
            changes = Changes(self._context, self._context.clock.now())
            [mine] = await lock(session, Payout.id == row.id)
            mine.leased_until = mine.due_at = None  # others send it, or the last of them wakes it
            groups = [[one] for one in found] if alone else [list(found)]
            for group in groups if found else []:
                await self._sending.send(session, group, changes)
            await save(session, changes)
            if found:
                await wake_batch(session, row.batch_id, changes.now)

    async def _ended(self, row: Payout) -> None:
        """Its transaction never was in a block and never will be, or lacks approvals."""
        async with self._context.database.begin() as session:
            assert row.transaction_id is not None  # noqa: S101  (the caller saw it)
            # Locked before it is judged: what is `prepared` may be signed at this very moment.
            own = await transactions.find(session, row.transaction_id, lock=True)
            rows = await lock(session, Payout.transaction_id == row.transaction_id)
            if own is None or not rows:
                return
            now = self._context.clock.now()
            changes = Changes(self._context, now)
            for one in rows:
                one.leased_until = one.due_at = None
            if own.status is TransactionStatus.PREPARED and own.reason in BACK_TO_PEOPLE:
                await transactions.cancel(session, self._context, own.id, now)
                for one in rows:  # held until everybody was asked again
                    one.transaction_id, one.signer, one.due_at = None, "velocity_exceeded", now
            elif _ended_unsent(own):
                _never_sent(rows, own)
            rejudge_all(rows, changes)
            await save(session, changes)

    async def _tidy(self, row: Payout) -> None:
        """Nothing left: what a refund had taken out of the inbox goes back there."""
        async with self._context.database.begin() as session:
            await refund_inbox.back_to_inbox(session, self._context, row)
            await session.execute(
                update(Payout).where(Payout.id == row.id).values(due_at=None, leased_until=None)
            )
            if row.batch_id is not None:  # a person's no may have been the last word on a batch
                await lock_batch(session, row.batch_id)
                await wake_batch(session, row.batch_id, self._context.clock.now())
                await wake(await raw(session))

    async def _locked(self, session: AsyncSession, row: Payout) -> Payout | None:
        """The row as it stands, if it is still what was judged; else it is looked at again."""
        [fresh] = await lock(session, Payout.id == row.id)
        fresh.leased_until = None
        same = (fresh.status, fresh.given, fresh.overdrawn, fresh.transaction_id) == (
            row.status, row.given, row.overdrawn, row.transaction_id,
        )  # fmt: skip
        if not same:
            fresh.due_at = fresh.due_at or self._context.clock.now()
        return fresh if same else None

    async def _later(self, payout_id: UUID, seconds: int) -> None:
        due_at = self._context.clock.now() + timedelta(seconds=seconds)
        async with self._context.database.begin() as session:
            await session.execute(
                update(Payout)
                .where(Payout.id == payout_id)
                .values(due_at=due_at, leased_until=None)
            )


def _ended_unsent(own: Own) -> bool:
    ended = own.status in (TransactionStatus.FAILED, TransactionStatus.CANCELLED)
    return ended and own.block_number is None  # what a block carried is `payouts.settle`'s


def _never_sent(rows: Sequence[Payout], own: Own) -> None:
    for row in rows:
        row.outcome, row.final = Sent.REFUSED.value, True
        row.failure = own.reason or "the transaction could not be sent"
