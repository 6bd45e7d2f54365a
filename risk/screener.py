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
from sqlalchemy import text

from chain.endpoints import Endpoints
from core.clock import wall
from core.context import Context
from core.work import Worker
from risk.known import gather, remember, required, told
from risk.screening import CHANNEL, settle
from risk.sources import ORACLE, PROVIDER, HttpProvider, Opinion, Oracle, Source, SourceAway
from risk.tables import Screening
from risk.verdicts import judge

log = structlog.get_logger(__name__)

LEASE_SECONDS = 60  # besides the provider's timeout: enough to try every endpoint
LONGEST_RETRY_SECONDS = 600
# The block that brings deposits is told of first; its money is not deep enough before that anyhow.
GATHER_SECONDS = 0.5

_CLAIM = """
update screenings set leased_until = %(leased)s, attempts = attempts + 1
where id in (
    select id from screenings
    where status = 'pending' and due_at <= %(now)s
        and (leased_until is null or leased_until < %(wall)s)
    order by due_at limit %(limit)s
    for update skip locked
)
returning id, leased_until, network
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row: ours until the lease ends."""

    id: UUID
    leased_until: datetime
    network: str


@dataclass(slots=True)
class Screener:
    """`provider`: instead of the configured one. `timeout` of the nodes, in seconds."""

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
            worker = Worker(
                "screenings",
                self.claim,
                self.ask,
                parallel=self.parallel,
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

    async def ask(self, due: Due) -> None:
        """One step: judge what is stored, ask who is missing, judge again and store it."""
        opinions: Mapping[str, Opinion] = {}
        if required(self.context, due.network):  # else there is nobody to ask
            async with self.context.database.read() as session:
                row = await session.get_one(Screening, due.id)
                known = await gather(session, self.context, row, self.context.clock.now())
            opinions = await self._opinions(row, judge(known).ask)
        now = self.context.clock.now()
        async with self.context.database.begin() as session:
            row = await session.get_one(Screening, due.id, with_for_update=True)
            if row.status != "pending" or row.leased_until != due.leased_until:
                return  # a person or another worker was faster
            for source, opinion in sorted(opinions.items()):
                await remember(session, self.context, row, source, opinion, now)
            known = await gather(session, self.context, row, now)
            settle(row, judge(known), told(known.score), now)
            row.leased_until = None
            row.due_at = now + self._pause(row.attempts)
            if row.status == "done":
                await session.execute(
                    text("select pg_notify(:channel, :subject)"),
                    {"channel": CHANNEL, "subject": f"{row.subject}:{row.subject_id}"},
                )

    async def _opinions(self, row: Screening, sources: Sequence[str]) -> Mapping[str, Opinion]:
        asked = await asyncio.gather(*(self._opinion(row, source) for source in sources))
        return {s: o for s, o in zip(sources, asked, strict=True) if o is not None}

    async def _opinion(self, row: Screening, name: str) -> Opinion | None:
        source = {ORACLE: self._oracles.get(row.network), PROVIDER: self.provider}[name]
        if source is None:
            return None
        try:
            return await source.ask(row.network, row.address)
        except SourceAway as error:
            log.warning(
                "screening_source_away", source=name, network=row.network, reason=str(error)
            )
            return None

    def _pause(self, attempts: int) -> timedelta:
        seconds = self.context.risk.retry << min(attempts - 1, 10)
        return timedelta(seconds=min(seconds, LONGEST_RETRY_SECONDS))
