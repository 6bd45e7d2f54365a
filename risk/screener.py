"""The worker's part of screening: asks outside about what waits, with no transaction open.

Rows are the queue (core.work). A source that does not answer leaves the row held and due again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Endpoints
from core.clock import wall
from core.context import Context
from core.work import INTERRUPTED, Worker
from risk.known import gather, remember, required, told
from risk.screening import CHANNEL, DEPOSIT, settle
from risk.sources import ORACLE, PROVIDER, HttpProvider, Opinion, Oracle, Source, SourceAway
from risk.tables import Screening
from risk.verdicts import judge

log = structlog.get_logger(__name__)

LEASE_SECONDS = 60  # besides the provider's timeout: enough to try every endpoint
LONGEST_RETRY_SECONDS = 600
# The block that brings deposits is told of first; its money is not deep enough before that anyhow.
GATHER_SECONDS = 0.5
TOGETHER = 25  # rows that are judged by one set of statements
GROUPS = 4  # of these at once, so that a source that is slow about one address delays few others

_CLAIM = """
update screenings set leased_until = %(leased)s, attempts = attempts + 1
where id in (
    select id from screenings
    where status = 'pending' and due_at <= %(now)s
        and (leased_until is null or leased_until < %(wall)s)
    order by due_at limit %(limit)s
    for update skip locked
)
returning id, leased_until, network, subject
"""


_TELL = text("select pg_notify(:channel, s) from unnest(cast(:subjects as text[])) as s")

Place = tuple[str, str, str]  # network, address, source


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row: ours until the lease ends."""

    id: UUID
    leased_until: datetime
    network: str
    subject: str


@dataclass(slots=True)
class Screener:
    """`provider`: instead of the configured one. `timeout` of the nodes, in seconds; `parallel`:
    questions of a group at once."""

    context: Context
    provider: Source | None = None
    timeout: float = 10.0
    parallel: int = 16
    poll_seconds: float = 1.0
    _oracles: dict[str, Source] = field(default_factory=dict)

    async def run(self) -> None:
        """Works until cancelled."""
        async with AsyncExitStack() as stack:
            await self.open(stack)
            notified = await stack.enter_async_context(self.context.listener.subscribe(CHANNEL))
            worker: Worker[Sequence[Due]] = Worker(
                "screenings",
                self._groups,
                self.step,
                parallel=GROUPS,
                poll_seconds=self.poll_seconds,
                gather_seconds=GATHER_SECONDS,
            )
            await worker.run(notified, self.context.clock)

    async def open(self, stack: AsyncExitStack) -> None:
        """Connects to whoever can be asked."""
        for network in self.context.catalog.networks.values():
            if network.sanctions_oracle is not None:
                endpoints = await stack.enter_async_context(
                    Endpoints(network, timeout=self.timeout)
                )
                self._oracles[network.id] = Oracle(endpoints, network.sanctions_oracle)
        settings = self.context.risk
        if self.provider is None and settings.provider_url is not None:
            self.provider = await stack.enter_async_context(
                HttpProvider(
                    settings.provider_url,
                    settings.provider_key,
                    timeout=settings.provider_timeout,
                )
            )

    async def claim(self, limit: int) -> Sequence[Due]:
        now = wall()
        async with self.context.database.statement() as connection:
            cursor = await connection.execute(
                _CLAIM,
                {
                    "leased": now
                    + timedelta(seconds=LEASE_SECONDS + self.context.risk.provider_timeout),
                    "now": self.context.clock.now(),
                    "wall": now,
                    "limit": limit,
                },
            )
            return [Due(*row) for row in await cursor.fetchall()]

    async def _groups(self, limit: int) -> Sequence[Sequence[Due]]:
        """Deposits and payouts apart: the policy that scores deposits may be unreadable."""
        found = await self.claim(limit * TOGETHER)
        groups = [[one for one in found if (one.subject == DEPOSIT) is it] for it in (True, False)]
        return [g[at : at + TOGETHER] for g in groups for at in range(0, len(g), TOGETHER)]

    async def step(self, due: Sequence[Due]) -> None:
        """A group; where one of them cannot be judged, each by itself."""
        try:
            await self.ask(due)
        except INTERRUPTED:
            raise
        except Exception:  # the outermost step: whichever it was keeps none of the others waiting
            if len(due) == 1:
                raise
            log.exception("screenings_failed_together", screenings=len(due))
            for one in due:
                try:
                    await self.ask([one])
                except Exception:  # its lease ends and it is claimed again
                    log.exception("screening_failed", screening=str(one.id))

    async def ask(self, due: Sequence[Due]) -> None:
        """One step, for all of them together: judge what is stored, ask who is missing, judge again
        and store it."""
        opinions: Mapping[Place, Opinion] = {}
        outside = [one.id for one in due if required(self.context, one.network)]
        if outside:  # else there is nobody to ask
            async with self.context.database.read() as session:
                rows = await _rows(session, outside)
                found = await gather(session, self.context, rows, self.context.clock.now())
            places = {
                (row.network, row.address, source)
                for row, known in zip(rows, found, strict=True)
                for source in judge(known).ask
            }
            opinions = await self._opinions(sorted(places))
        now = self.context.clock.now()
        leases = {one.id: one.leased_until for one in due}
        async with self.context.database.begin() as session:
            locked = await _rows(session, list(leases), lock=True)
            # Of the others a person or another worker was faster.
            rows = [r for r in locked if r.status == "pending" and r.leased_until == leases[r.id]]
            ours = {(row.network, row.address) for row in rows}
            heard = {place: said for place, said in opinions.items() if place[:2] in ours}
            await remember(session, self.context, heard, now)
            for row, known in zip(
                rows, await gather(session, self.context, rows, now), strict=True
            ):
                settle(row, judge(known), told(known.score), now)
                row.leased_until = None
                row.due_at = now + self._pause(row.attempts)
            await session.flush()
            done = [f"{row.subject}:{row.subject_id}" for row in rows if row.status == "done"]
            if done:
                await session.execute(_TELL, {"channel": CHANNEL, "subjects": done})

    async def _opinions(self, places: Sequence[Place]) -> Mapping[Place, Opinion]:
        """Each source once for each address; those that did not answer are not there."""
        turns = asyncio.Semaphore(self.parallel)
        asked = await asyncio.gather(*(self._opinion(*place, turns) for place in places))
        return {p: o for p, o in zip(places, asked, strict=True) if o is not None}

    async def _opinion(
        self, network: str, address: str, name: str, turns: asyncio.Semaphore
    ) -> Opinion | None:
        source = {ORACLE: self._oracles.get(network), PROVIDER: self.provider}[name]
        if source is None:
            return None
        try:
            async with turns:
                return await source.ask(network, address)
        except SourceAway as error:
            log.warning("screening_source_away", source=name, network=network, reason=str(error))
            return None

    def _pause(self, attempts: int) -> timedelta:
        seconds = self.context.risk.retry << min(attempts - 1, 10)
        return timedelta(seconds=min(seconds, LONGEST_RETRY_SECONDS))


async def _rows(
    session: AsyncSession, wanted: Sequence[UUID], *, lock: bool = False
) -> Sequence[Screening]:
    """As they stand, in the order of their ids, so that two workers do not wait in a circle."""
    query = select(Screening).where(Screening.id.in_(wanted)).order_by(Screening.id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(query)).all()
