"""The chain loop of one network: read what is new, apply it, close what is over.

One worker follows a network at a time (an advisory lock), another stands by. The lock saves work;
what protects is the guard row that `apply_batch` compares with the batch's own start.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import structlog
from sqlalchemy import select
from sqlalchemy.exc import DataError, IntegrityError

from chain.blocks import Follower
from chain.endpoints import Endpoints
from chain.heads import heads
from chain.origin import origin
from chain.types import Batch, Cursor, Pushed
from core import metrics
from core.clock import wall
from core.context import Context
from core.errors import ChainError, ForkBelowFinalized, LedgerError, Misconfigured
from core.networks import Network, Traces
from core.singleton import Held, Lost, hold
from core.work import DATABASE_AWAY
from payments import expiry, network_state, token_decimals
from payments.batch import apply_batch
from payments.comparison import Rotation
from payments.miners import Miners
from payments.progress import tell
from payments.remembered import At, Remembered
from payments.tables import Deposit, NetworkCursor
from payments.witnesses import Witnesses
from wallets.settling import outstanding
from webhooks.desk import Desk

log = structlog.get_logger()

RETRY_SECONDS = 1
DEPTH_SECONDS = 5
DELIVERIES_FIRST_SECONDS = 0.01  # what a block brought is told before the clock is looked at
# Our own fault or a tampered row, by whichever way the statement went.
REFUSED = (LedgerError, DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError)


class Following:
    """Follows one network for ever; `run` returns only by an exception or cancellation."""

    def __init__(
        self, context: Context, network: Network, endpoints: Endpoints, desk: Desk | None = None
    ) -> None:
        self._context = context
        self._desk = desk or Desk()
        self._network = network
        self._endpoints = endpoints
        self._follower = Follower(network, endpoints, outstanding=self._outstanding)
        self._known = Remembered()  # the guard row itself has the last word
        self._ahead: dict[int, str] = {}  # hashes of a batch that is being applied
        self._miners = Miners(network.id)
        self._good_at = wall()
        self._depth_at = time.monotonic()
        self._log = log.bind(network=network.id)
        self._rotation = Rotation(network) if network.traces is Traces.NONE else None
        self._witnesses = Witnesses(context, network, endpoints)

    async def run(self) -> None:
        async with hold(self._context.database, f"chain:{self._network.id}") as lock:
            self._log.info("following")
            await self.start()
            async with aclosing(heads(self._network, self._endpoints)) as wakes:
                async for pushed in wakes:
                    await self._wake(lock, pushed)

    async def _wake(self, lock: Held, pushed: Pushed | None) -> None:
        """One look at the chain. What fails moves no cursor, and is told when it lasts."""
        # Beside the work: the lock only saves some, what protects is the guard row.
        held = asyncio.ensure_future(lock.check())
        try:
            await self._look(pushed)
        finally:
            await held

    async def _look(self, pushed: Pushed | None) -> None:
        try:
            await self.catch_up(pushed)
            self._good_at = wall()
        except ForkBelowFinalized as error:
            self._log.error("fork_below_finalized", number=error.number)
            self._known.forget()
            async with self._context.database.begin() as session:
                await network_state.halt(session, self._context, self._network, error)
        except REFUSED as error:
            # It will be refused again, so a person must look.
            self._known.forget()
            metrics.CHAIN_FAILURES.labels(self._network.id, type(error).__name__).inc()
            self._log.exception("batch_refused")
            await self._judge_stall()
            await asyncio.sleep(RETRY_SECONDS)
        except ChainError as error:
            metrics.CHAIN_FAILURES.labels(self._network.id, type(error).__name__).inc()
            self._log.warning("chain_unreadable", error=str(error))
            await self._judge_stall()
            await asyncio.sleep(RETRY_SECONDS)

    async def catch_up(self, pushed: Pushed | None = None) -> None:
        """Applies batches until nothing is new, reading the next while one is being applied."""
        at = await self._cursor()
        if at.halted is not None:
            self._known.forget()  # until a person has accepted the fork
            return
        batch = await self._read(Cursor(at.number, at.hash), at.finalized, pushed)
        while batch is not None:
            behind = bool(batch.blocks) and batch.blocks[-1].number < batch.head
            ahead: asyncio.Task[Batch | None] | None = None
            # Balances are compared with the books, so there nothing is read ahead of them.
            if behind and self._rotation is None:
                ahead = asyncio.create_task(self._read_after(batch, at.finalized))
            try:
                applied = await self._apply(batch)
                if applied and not behind:
                    break
                if applied and ahead is not None:
                    batch = await ahead
                    continue
                at = await self._cursor()
                batch = await self._read(Cursor(at.number, at.hash), at.finalized)
            finally:
                if ahead is not None and not ahead.done():
                    ahead.cancel()
                self._ahead = {}
        if pushed is not None:
            await asyncio.sleep(DELIVERIES_FIRST_SECONDS)
        await self._idle()

    async def _read_after(self, batch: Batch, finalized: int | None) -> Batch | None:
        """The batch after one that is not stored yet."""
        self._ahead = {block.number: block.hash for block in batch.blocks}
        last = batch.blocks[-1]
        return await self._read(Cursor(last.number, last.hash), finalized)

    async def _read(
        self, cursor: Cursor, finalized: int | None, pushed: Pushed | None = None
    ) -> Batch | None:
        batch = await self._follower.next_batch(
            cursor, finalized=finalized, stored=self._stored, pushed=pushed
        )
        if batch is None:
            return None
        asked = self._follower.measured(batch)
        if mine := await self._miners.ours(self._context.database, batch, asked):
            batch = await self._follower.measure(batch, mine)
        if self._rotation is None:
            return batch
        async with self._context.database.statement() as connection:
            known = await self._rotation.due(connection, batch, self._context.clock.now())
        if not known:
            return batch
        found = await self._follower.compare_balances(batch.blocks[-1], known)
        return replace(batch, movements=[*batch.movements, *found])

    async def _apply(self, batch: Batch) -> bool:
        """False when another worker has moved the cursor meanwhile, or a transaction of ours has
        left: then the batch is dropped, and read again."""
        started = time.perf_counter()
        lease = self._desk.offer()
        async with self._context.database.begin() as session:
            applied = await apply_batch(session, self._context, self._network, batch, lease)
        if applied is not None:
            self._desk.take(applied.leased)
            await asyncio.sleep(0)  # they go out before anything else is done
        metrics.BATCH_SECONDS.labels(self._network.id).observe(time.perf_counter() - started)
        self._known.learn(batch, applied)
        if applied is None:
            self._log.info("batch_dropped", start=batch.start.number)
            return False
        tell(self._log, batch, applied)
        return True

    async def _idle(self) -> None:
        """The cursor is the head: time goes on for expiry even where no block comes."""
        at = await self._cursor()
        async with self._context.database.statement() as connection:
            known = await network_state.still_followed(
                connection, self._context, self._network, at[:2], self._endpoints.snapshot()
            )
            due = await expiry.due(connection, self._context)
        if not known:
            self._known.forget()
            async with self._context.database.begin() as session:
                await network_state.doubt(session, self._context, self._network, at[:2])
        if due:
            async with self._context.database.begin() as session:
                await expiry.expire(session, self._context, due)
        news = self._network.second_endpoint_above is not None and await self._witnesses.find()
        if news or time.monotonic() - self._depth_at > DEPTH_SECONDS:
            self._depth_at = time.monotonic()
            await self._judge_depth()

    async def _judge_depth(self) -> None:
        """Finality and a second endpoint's word come without a block of their own (MONEY 2)."""
        pending = select(Deposit.id).where(
            Deposit.network == self._network.id, Deposit.status == "pending"
        )
        async with self._context.database.read() as session:
            if await session.scalar(pending.limit(1)) is None:
                return
        at = await self._cursor()
        batch = await self._follower.refresh(Cursor(at.number, at.hash), stored=self._stored)
        if batch is not None:
            await self._apply(batch)

    async def _judge_stall(self) -> None:
        silent = wall() - self._good_at
        if silent > timedelta(seconds=self._network.stalled_after_seconds):
            async with self._context.database.begin() as session:
                await network_state.stall(session, self._context, self._network, silent)

    async def start(self) -> None:
        """The stored cursor, checked against the chain's own beginning, or a new one at the head.

        Raises Misconfigured when the node shows another chain than the one in the books, or a token
        other decimals than are configured.
        """
        await token_decimals.check(self._context, self._network, self._endpoints)
        head, genesis = await origin(self._endpoints)
        async with self._context.database.begin() as session:
            stored = await session.get(NetworkCursor, self._network.id)
            if stored is None:
                await network_state.begin(session, self._context, self._network, head, genesis)
            elif stored.genesis != genesis:
                raise Misconfigured(
                    f"{self._network.id}: the node's block 0 is {genesis}, the books follow the"
                    f" chain of {stored.genesis}: another chain under the same id is refused"
                )

    async def _cursor(self) -> At:
        if self._known.at is not None:
            return self._known.at
        row = await self._one(
            "select number, hash, finalized, halted from network_cursors where network = %s",
            self._network.id,
        )
        assert row is not None  # noqa: S101  (`start` made it)
        self._known.at = At(*row)
        return self._known.at

    async def _outstanding(self) -> frozenset[str] | None:
        if not self._known.sending:
            return None  # applying looks again, in the round trip that it makes anyhow
        async with self._context.database.statement() as connection:
            return await outstanding(connection, self._network.id)

    async def _stored(self, number: int) -> str | None:
        if number in self._ahead:
            return self._ahead[number]
        if (known := self._known.hash_at(number)) is not None:
            return known
        query = "select hash from blocks where network = %s and number = %s"
        row = await self._one(query, self._network.id, number)
        return row[0] if row else None

    async def _one(self, query: LiteralString, *values: Any) -> tuple[Any, ...] | None:
        """A row in one round trip: these lie between a block and its webhook."""
        async with self._context.database.statement() as connection:
            return await (await connection.execute(query, values)).fetchone()


async def follow(context: Context, network: Network, endpoints: Endpoints, desk: Desk) -> None:
    """Follows `network` for ever (see Following); a database that was away is asked again soon."""
    while True:
        try:
            await Following(context, network, endpoints, desk).run()
        except (Lost, *DATABASE_AWAY) as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            log.warning("following_interrupted", network=network.id, error=said)
            await asyncio.sleep(RETRY_SECONDS)
