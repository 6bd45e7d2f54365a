"""Takes runs up and carries them out: reads, never corrects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from chain.broadcast import from_any
from chain.decode import number
from chain.endpoints import Endpoints
from chain.rpc import Rpc
from chain.wire import BLOCK_BY_NUMBER
from core.context import Context
from core.errors import BezantError, ChainError, EndpointFailed
from core.networks import Network
from core.work import DATABASE_AWAY, Worker
from exchanges.protocol import Exchange
from exchanges.types import Venue
from reconciliation import coverage, places, runs, storing
from reconciliation.chain import ChainComparison
from reconciliation.deposits import DepositComparison
from reconciliation.parts import Part, Scope, Unread
from reconciliation.runs import COMMAND
from reconciliation.venues import PATIENCE, VenueComparison

log = structlog.get_logger()

LEASE = timedelta(seconds=60)
POLL_SECONDS = 5
MOST_ATTEMPTS = 3
WAIT_SECONDS = 30.0  # for the cursor to reach the head, of a run on command

_CURSOR = "select number from network_cursors where network = %s"
_LAST = """
select max(started_at) from reconciliation_runs
where status in ('clean', 'breaks') and scope in ('all', 'invoices')
"""

Comparison = Callable[[], Awaitable[Part]]


class Reconciling:
    """Any number of workers may do this; one run is under way at a time.

    every_seconds: between two runs that begin by themselves; None: none does.
    """

    def __init__(
        self,
        context: Context,
        endpoints: Mapping[str, Endpoints],
        exchanges: Mapping[Venue, Exchange],
        *,
        every_seconds: int | None,
        lease: timedelta = LEASE,
        wait_seconds: float = WAIT_SECONDS,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._context = context
        self._endpoints = endpoints
        self._exchanges = exchanges
        self._every_seconds = every_seconds
        self._lease = lease
        self._wait_seconds = wait_seconds
        self._patience = patience

    async def run(self) -> None:
        """Works until cancelled."""
        worker = Worker(runs.CHANNEL, self.claim, self.step, parallel=1, poll_seconds=POLL_SECONDS)
        async with self._context.listener.subscribe(runs.CHANNEL) as notified:
            await worker.run(notified, self._context.clock)

    async def claim(self, _limit: int) -> Sequence[UUID]:
        """The run that is due; the schedule may make one."""
        if self._every_seconds is not None:
            await runs.schedule(self._context, self._every_seconds)
        return await runs.claim(self._context, self._lease)

    async def step(self, run_id: UUID) -> None:
        """A whole run, under a lease that is kept while it lasts."""
        with suppress(storing.Taken):
            scope, trigger, attempt = await storing.begin(self._context, run_id)
            if attempt > MOST_ATTEMPTS:
                reason = f"interrupted {MOST_ATTEMPTS} times"
                await storing.end(self._context, run_id, attempt, [Unread("run", reason)])
                return
            work = asyncio.create_task(self._work(run_id, attempt, scope, trigger == COMMAND))
            keeping = asyncio.create_task(self._keep(run_id, attempt, work))
            try:
                await work
            finally:
                work.cancel()
                keeping.cancel()
                await asyncio.gather(work, keeping, return_exceptions=True)

    async def _keep(self, run_id: UUID, attempt: int, work: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            with suppress(*DATABASE_AWAY):
                if not await runs.renew(self._context, run_id, attempt, self._lease):
                    work.cancel()
                    return

    async def _work(self, run_id: UUID, attempt: int, scope: Scope, commanded: bool) -> None:
        """Comparison after comparison; one that cannot be read does not keep the others."""
        behind: dict[str, int] = {}
        if commanded and scope in (Scope.CHAIN, Scope.ALL):
            behind = await self._reach_heads()
        unread: list[Unread] = []
        for name, compare in (await self._comparisons(run_id, scope, commanded)).items():
            try:
                part = await compare()
            except BezantError as error:
                said = str(error).partition("\n")[0][:300]
                log.warning("not_reconciled", part=name, error=type(error).__name__, detail=said)
                unread.append(Unread(name, said or type(error).__name__))
                continue
            await storing.store(self._context, run_id, attempt, part)
            unread += [Unread(name, reason) for reason in part.unread]
        unread += await places.unasked(self._context, scope, self._exchanges)
        await storing.end(self._context, run_id, attempt, unread, behind=behind)
        log.info("reconciled", run=str(run_id), scope=scope.value, unread=len(unread))

    async def _comparisons(self, run_id: UUID, scope: Scope, whole: bool) -> dict[str, Comparison]:
        """By name, in order."""
        found: dict[str, Comparison] = {}
        context = self._context
        if scope in (Scope.CHAIN, Scope.ALL):
            for network in context.catalog.networks.values():
                found |= self._chain(network, run_id, whole)
            found["ledger"] = lambda: coverage.ledger(context, run_id, whole=whole)
        if scope in (Scope.INVOICES, Scope.ALL):
            since = None
            if not whole:
                async with context.database.statement() as connection:
                    row = await (await connection.execute(_LAST)).fetchone()
                since = row[0] if row else None
            found["invoices"] = DepositComparison(context, run_id, since).compare
        if scope in (Scope.EXCHANGES, Scope.ALL):
            for venue, exchange in self._exchanges.items():
                found[f"venue:{venue}"] = VenueComparison(
                    context, exchange, run_id, whole=whole, patience=self._patience
                ).compare
        return found

    def _chain(self, network: Network, run_id: UUID, whole: bool) -> dict[str, Comparison]:
        context = self._context
        comparison = ChainComparison(context, network, self._endpoints[network.id], run_id)
        return {
            f"chain:{network.id}": comparison.compare,
            f"blocks:{network.id}": lambda: coverage.blocks(context, network, run_id, whole=whole),
        }

    async def _reach_heads(self) -> dict[str, int]:
        """Waits until each cursor has reached the head of this moment. What is behind by then, by
        network: its balances are compared all the same, at the block that the books are at."""
        heads: dict[str, int] = {}
        for name, endpoints in self._endpoints.items():
            # A node that does not answer: the comparison says so.
            with suppress(ChainError):
                heads[name] = await from_any(endpoints, _head)
        async with self._context.listener.subscribe("block") as moved:
            deadline = asyncio.get_running_loop().time() + self._wait_seconds
            while True:
                behind = await self._behind(heads)
                left = deadline - asyncio.get_running_loop().time()
                if not behind or left <= 0:
                    return behind
                await moved.next(min(left, 0.5))

    async def _behind(self, heads: Mapping[str, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        async with self._context.database.statement() as connection:
            for name, head in heads.items():
                row = await (await connection.execute(_CURSOR, (name,))).fetchone()
                if row is not None and row[0] < head:
                    found[name] = head - row[0]
        return found


async def _head(rpc: Rpc) -> int:
    header = await rpc.call(BLOCK_BY_NUMBER, "latest", False)
    if header is None:
        raise EndpointFailed(f"{rpc.network} {rpc.name}: no newest block")
    return number(header.number)
