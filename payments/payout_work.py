"""The worker's loop of payouts: rows that are due, one step each (DESIGN 1, decision 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Endpoints
from core.context import Context
from core.db import raw
from core.errors import SignerAway, Unavailable
from core.listen import Subscription
from core.work import INTERRUPTED, Worker
from payments import (
    bank_payouts,
    payout_approvals,
    payout_decisions,
    payout_kinds,
    payout_queue,
    refund_inbox,
    wallet_refunds,
)
from payments.payout_cases import Changes, lock, lock_ids, rejudge_all
from payments.payout_decisions import Said
from payments.payout_facts import ALLOWED, BACK, OPEN, Sent, Status
from payments.payout_queue import AWAY_SECONDS, BACK_TO_PEOPLE
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

Rows = Sequence[Payout]
Step = Callable[[Rows], Awaitable[None]]

CHANNEL = "payouts"
TOGETHER = 25  # payouts that are judged by one set of statements
GATHER_SECONDS = 0.1  # verdicts come one by one
AGAIN_SECONDS = {"screening": AWAY_SECONDS, "velocity_exceeded": 60, "fees_exceeded": 60}


class Payouts:
    """`endpoints` by network: whom to ask what stands at a destination. `prepare` asks for a
    transaction: wallets.transactions.prepare, save in tests."""

    def __init__(
        self,
        context: Context,
        signer: Signer,
        *,
        endpoints: Mapping[str, Endpoints],
        prepare: Prepare = transactions.prepare,
        parallel: int = 4,
        poll_seconds: float = 1.0,
    ) -> None:
        self._context = context
        self._signer = signer
        self._endpoints = endpoints
        self._sending = Sending(context, signer, prepare)
        self._worker = Worker(
            "payouts", self._groups, self.steps, parallel=parallel, poll_seconds=poll_seconds
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
            await asyncio.sleep(GATHER_SECONDS)
            notified.drain()
            self._worker.wake()

    async def claim(self, limit: int) -> Sequence[UUID]:
        return await payout_queue.claim(self._context, limit)

    async def _groups(self, limit: int) -> Sequence[Sequence[UUID]]:
        found = sorted(await self.claim(limit * TOGETHER))
        return [found[at : at + TOGETHER] for at in range(0, len(found), TOGETHER)]

    async def step(self, payout_id: UUID) -> None:
        """Whatever a payout needs now; happening twice does no harm."""
        await self.steps([payout_id])

    async def steps(self, payout_ids: Sequence[UUID]) -> None:
        """Those that wait for a judgement are judged together, the others one by one."""
        async with self._context.database.read() as session:
            query = select(Payout).where(Payout.id.in_(payout_ids)).order_by(Payout.id)
            rows = (await session.scalars(query)).all()
        at_bank = [row for row in rows if row.bank_account_id and row.status not in BACK]
        open_ = [row for row in rows if row not in at_bank and self._undecided(row)]
        steps = [([row], self._go_on) for row in rows if row not in (*at_bank, *open_)]
        steps += [([row], self._decide_at_bank) for row in at_bank]
        failed = await self._all([(open_, self._decide), *steps] if open_ else steps)
        if len(open_) > 1 and open_ in failed:  # whichever it was keeps none of the others waiting
            await self._all([([row], self._decide) for row in open_])

    async def _all(self, steps: Sequence[tuple[Rows, Step]]) -> list[Rows]:
        """Each of them, whatever becomes of the others; those that failed."""
        failed = []
        for rows, do in steps:
            try:
                await do(rows)
            except (SignerAway, Unavailable) as error:
                log.warning("payouts_wait", payouts=len(rows), error=str(error))
                await payout_queue.put_off(self._context, [row.id for row in rows])
            except INTERRUPTED as error:  # the lease ends and they are claimed again
                log.warning("step_interrupted", work="payouts", error=type(error).__name__)
            except Exception:  # the outermost step: as well
                log.exception("step_failed", work="payouts", payouts=len(rows))
                failed.append(rows)
        return failed

    async def _decide_at_bank(self, rows: Rows) -> None:
        await bank_payouts.judge(self._context, [row.id for row in rows])

    def _undecided(self, row: Payout) -> bool:
        open_ = row.status in OPEN and row.transaction_id is None
        return open_ and not (row.status == Status.APPROVED and self._together(row))

    def _together(self, row: Payout) -> bool:
        network = self._context.catalog.networks.get(row.network)
        return network is not None and joins(row, network)

    async def _go_on(self, rows: Rows) -> None:
        [row] = rows
        if row.status in BACK:
            await self._tidy(row)
        elif row.transaction_id is not None:
            await self._ended(row)
        else:
            await self._send_batch(row)

    async def _decide(self, rows: Rows, *, gathered: bool = False) -> None:
        """Judges them, and sends what may leave. `gathered`: all that is approved of one batch in
        one asset, which may leave in one transaction; else those of batches wait for each other."""
        began = self._context.clock.now()
        await payout_kinds.ask(self._context, self._endpoints, [row.id for row in rows])
        words = await payout_decisions.screened(self._context, [row.id for row in rows])
        verdicts = {number: word for number, word in words.items() if word is not None}
        waiting = [number for number in words if number not in verdicts]
        await payout_queue.put_off(self._context, waiting, since=began)
        if not verdicts:
            return
        said = await payout_decisions.ask(self._context, self._signer, verdicts)
        if len(said) < len(verdicts):
            log.warning("no_hot_wallet", payouts=len(verdicts))
            await payout_queue.put_off(self._context, list(verdicts))
            return
        may = [row for row in rows if row.id in said and said[row.id].signer == ALLOWED]
        together = gathered and await self._sending.allowed_together(may)
        async with self._context.database.begin() as session:
            batches = sorted({r.batch_id for r in rows if r.id in said and r.batch_id is not None})
            for batch_id in batches:
                await lock_batch(session, batch_id)
            changes = Changes(self._context, self._context.clock.now())
            same = await self._locked(session, [row for row in rows if row.id in said])
            approvals = await payout_approvals.newest(session, [row.id for row in same])
            for row in same:
                await self._judged(session, row, approvals.get(row.id), said[row.id], changes)
            for leaving in self._leaving(same, gathered=gathered):
                await self._sending.send(session, leaving, changes, together=together)
            await save(session, changes)
            for batch_id in batches:  # those that wait for these, when they were the last
                await wake_batch(session, batch_id, changes.now)

    def _leaving(self, rows: Rows, *, gathered: bool) -> list[list[Payout]]:
        """Approved ones that wait for no others, by asset."""
        found: dict[tuple[str, str], list[Payout]] = {}
        for row in rows:
            if row.status == Status.APPROVED and (gathered or not self._together(row)):
                found.setdefault((row.network, row.token), []).append(row)
        return [found[key] for key in sorted(found)]

    async def _judged(
        self,
        session: AsyncSession,
        row: Payout,
        approval: Approval | None,
        said: Said,
        changes: Changes,
    ) -> None:
        row.due_at = None
        approval = await payout_decisions.apply(
            session, self._context, row, approval, said, changes
        )
        if row.status != Status.HELD or row.overdrawn:
            return
        waits = [AGAIN_SECONDS[r] for r in row.reasons if r in AGAIN_SECONDS]
        if waits:
            row.due_at = changes.now + timedelta(seconds=min(waits))
        elif row.needed and approval is not None:
            row.due_at = approval.expires_at

    async def _send_batch(self, row: Payout) -> None:
        """All that is approved beside it, judged once more: since they were approved they may have
        waited for days, and a list or a policy may say something else by now."""
        async with self._context.database.begin() as session:
            assert row.batch_id is not None  # noqa: S101  (the caller saw it)
            await lock_batch(session, row.batch_id)
            rows = await gather(session, row)
            if not rows:
                [mine] = await lock(session, Payout.id == row.id)
                mine.leased_until = mine.due_at = None  # the last one that is judged wakes it
        if rows:
            await self._decide(rows, gathered=True)

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
            await wallet_refunds.put_back(session, self._context, row)
            await session.execute(
                update(Payout).where(Payout.id == row.id).values(due_at=None, leased_until=None)
            )
            if row.batch_id is not None:  # a person's no may have been the last word on a batch
                await lock_batch(session, row.batch_id)
                await wake_batch(session, row.batch_id, self._context.clock.now())
                await wake(await raw(session))

    async def _locked(self, session: AsyncSession, rows: Sequence[Payout]) -> list[Payout]:
        """Those that still are what was judged, as they stand; others are looked at again."""
        before = {row.id: row for row in rows}
        found = []
        for fresh in await lock_ids(session, before):
            fresh.leased_until = None
            if _facts(fresh) == _facts(before[fresh.id]):
                found.append(fresh)
            else:
                fresh.due_at = fresh.due_at or self._context.clock.now()
        return found


def _facts(row: Payout) -> tuple[object, ...]:
    """What a judgement rests on, and others may change meanwhile."""
    return row.status, row.given, row.overdrawn, row.transaction_id


def _ended_unsent(own: Own) -> bool:
    ended = own.status in (TransactionStatus.FAILED, TransactionStatus.CANCELLED)
    return ended and own.block_number is None  # what a block carried is `payouts.settle`'s


def _never_sent(rows: Sequence[Payout], own: Own) -> None:
    for row in rows:
        row.outcome, row.final = Sent.REFUSED.value, True
        row.failure = own.reason or "the transaction could not be sent"
