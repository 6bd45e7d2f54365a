"""Delivering: signed POSTs, so that no endpoint ever waits behind another.

Each endpoint has a lane: a few POSTs at once, a few more rows in hand, and only one at a time
while it fails. Several deliverers may run; leases keep them apart. A crash between the POST and
its record repeats the POST under the same webhook-id, which is what that id is for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import aiohttp
import structlog

from core import ids
from core.clock import wall
from core.context import Context
from core.db import Raw, raw
from core.metrics import SEEN_TO_WEBHOOK_SECONDS, WEBHOOK_DELIVERIES, WEBHOOK_QUEUE_DEPTH
from core.work import DATABASE_AWAY, Worker
from webhooks import endpoints, queue, signing
from webhooks.attempt import post
from webhooks.desk import Desk, Lease
from webhooks.guard import Lookup, SystemLookup, client
from webhooks.queue import Due, Outcome
from webhooks.schedule import Verdict, judge

log = structlog.get_logger()

LEASE_MARGIN_SECONDS = 5
LARGEST_WINDOW = 32
OBSERVE_SECONDS = 10
GATHER_SECONDS = 0.01


class Lane:
    """One endpoint's share of this process.

    `window` is how many rows of it may be in hand. It grows with each success and falls to one
    with a failure, so that many dead endpoints cannot fill the house.
    """

    def __init__(self, width: int) -> None:
        self.gate = asyncio.Semaphore(width)
        self.window = width
        self.in_hand = 0
        self.failures = 0
        self.failing = False
        self.full = False  # the last claim took all it was allowed: there may be more

    @property
    def room(self) -> int:
        """How many rows to claim next; claims come in halves, not one by one."""
        return self.window - self.in_hand if self.in_hand <= self.window // 2 else 0

    def learn(self, *, failed: bool) -> None:
        self.failing = failed
        self.failures += failed
        self.window = 1 if failed else min(2 * self.window, LARGEST_WINDOW)


class Deliverer:
    """`timeout` in seconds for a whole attempt, `parallel` rows in hand, `per_endpoint` POSTs.
    `desk`: where this process leaves what it leased by itself."""

    def __init__(
        self,
        context: Context,
        *,
        timeout: float = 15,
        parallel: int = 1024,
        per_endpoint: int = 4,
        poll_seconds: float = 1.0,
        lookup: Lookup | None = None,
        desk: Desk | None = None,
    ) -> None:
        self._context = context
        self._desk = desk or Desk()
        self._timeout = timeout
        self._system = SystemLookup() if lookup is None else None
        self._lookup = lookup or self._system
        self._per_endpoint = per_endpoint
        self._lanes: defaultdict[UUID, Lane] = defaultdict(lambda: Lane(per_endpoint))
        self._in_hand: dict[UUID, Due] = {}
        self._returned: list[Due] = []
        self._outcomes: list[Outcome] = []
        self._some = asyncio.Event()
        self._client: aiohttp.ClientSession | None = None
        self._worker = Worker(
            "deliveries", self._claim, self._deliver, parallel=parallel, poll_seconds=poll_seconds
        )

    async def run(self) -> None:
        """Delivers until cancelled; what was sent is stored, what was not is given back."""
        assert self._lookup is not None  # noqa: S101 - one of the two is set
        async with (
            client(
                self._lookup, sandbox=self._context.sandbox, timeout=self._timeout
            ) as self._client,
            self._context.listener.subscribe("deliveries") as notified,
        ):
            helpers = [asyncio.create_task(self._store()), asyncio.create_task(self._observe())]
            self._desk.sender = self
            try:
                await self._worker.run(notified, self._context.clock)
            finally:
                self._desk.sender = None
                for task in helpers:
                    task.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await self._leave()

    def offer(self) -> Lease:
        """What may be leased for this process now: nothing of endpoints that it is busy with."""
        return Lease(self._leased_until(), list(self._lanes), self._per_endpoint)

    def take(self, rows: Sequence[Due]) -> None:
        """Sends what was leased on such an offer."""
        self._hold(rows)
        self._worker.start(rows)

    def _leased_until(self) -> datetime:
        return wall() + timedelta(seconds=self._timeout + LEASE_MARGIN_SECONDS)

    def _hold(self, rows: Sequence[Due]) -> None:
        for row in rows:
            self._in_hand[row.id] = row
            self._lanes[row.endpoint_id].in_hand += 1

    async def _claim(self, limit: int) -> Sequence[Due]:
        async with self._context.database.statement() as connection:
            await self._give_back(connection)
            rooms = {endpoint_id: lane.room for endpoint_id, lane in self._lanes.items()}
            rows = await queue.claim(
                connection,
                limit=limit,
                room=self._per_endpoint,
                rooms=rooms,
                now=self._context.clock.now(),
                wall=wall(),
                leased_until=self._leased_until(),
            )
        self._hold(rows)
        self._note_full(rooms, Counter(row.endpoint_id for row in rows))
        return rows

    def _note_full(self, rooms: Mapping[UUID, int], claimed: Mapping[UUID, int]) -> None:
        """Held against what was asked for: windows grow, and lanes empty, while a claim runs."""
        for endpoint_id in {*rooms, *claimed}:
            asked = rooms.get(endpoint_id, self._per_endpoint)
            lane = self._lanes.get(endpoint_id)
            if lane is not None:
                lane.full = claimed.get(endpoint_id, 0) >= asked
            if asked == 0 and (lane is None or lane.room):  # nobody behind it would look again
                self._worker.wake()

    async def _deliver(self, due: Due) -> None:
        lane = self._lanes[due.endpoint_id]
        failures = lane.failures
        try:
            async with lane.gate:
                in_time = wall() + timedelta(seconds=self._timeout) < due.leased_until
                if not due.enabled:
                    self._record(Outcome(due, None, Verdict("disabled")))
                elif in_time and lane.failures == failures:
                    await self._try(due, lane)
                else:  # the lease must outlast the attempt; a failure makes all behind it wait
                    self._returned.append(due)
                    self._worker.wake()
        finally:
            lane.in_hand -= 1
            if lane.in_hand == 0 and not lane.failing:
                self._lanes.pop(due.endpoint_id, None)
            if lane.full and lane.room:
                self._worker.wake()

    async def _try(self, due: Due, lane: Lane) -> None:
        assert self._client is not None  # noqa: S101 - set by run
        message = ids.show("evt", due.event_id)
        attempt = await post(
            self._client,
            due.url,
            due.body,
            signing.headers(message, due.body, self._secrets(due), wall()),
            sandbox=self._context.sandbox,
        )
        number = due.attempts + 1
        verdict = judge(
            attempt.status_code,
            attempt.retry_after,
            number,
            self._context.clock.now(),
            secrets.randbelow(101),
        )
        lane.learn(failed=verdict.status == "pending")
        WEBHOOK_DELIVERIES.labels(verdict.status).inc()
        if verdict.status == "delivered" and due.original and number == 1:
            SEEN_TO_WEBHOOK_SECONDS.observe(_age_ms(due.event_id) / 1000)
        self._record(Outcome(due, attempt, verdict))

    def _secrets(self, due: Due) -> list[str]:
        """The secret in force and, for a day after a rotation, the one before."""
        box = self._context.secrets
        if due.secret is None:
            place = f"merchants.webhook_secret:{due.merchant_id}"
            found = [box.open(due.merchant_secret, place)]
        else:
            found = [box.open(due.secret, f"webhook_endpoints.secret:{due.endpoint_id}")]
        until = due.old_secret_until
        if due.old_secret is not None and until and self._context.clock.now() < until:
            place = f"webhook_endpoints.old_secret:{due.endpoint_id}"
            found.append(box.open(due.old_secret, place))
        return [secret.decode() for secret in found]

    def _record(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._some.set()

    async def _store(self) -> None:
        """Stores outcomes a moment after they came: a burst costs few statements, and nobody
        waits for this."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._some.clear()
            try:
                await self._flush()
            except DATABASE_AWAY as error:
                log.warning("outcomes_not_stored", error=type(error).__name__)
                await asyncio.sleep(1)
                self._some.set()

    async def _flush(self) -> None:
        batch, self._outcomes = self._outcomes, []
        if not batch:
            return
        try:
            await self._write(batch)
        except BaseException:
            self._outcomes = batch + self._outcomes
            raise
        for outcome in batch:
            self._in_hand.pop(outcome.due.id, None)

    async def _write(self, batch: Sequence[Outcome]) -> None:
        now = self._context.clock.now()
        disabled = {o.due.endpoint_id: o.verdict.disable for o in batch if o.verdict.disable}
        if not disabled:
            async with self._context.database.statement() as connection:
                await queue.store(connection, batch, now)
            return
        async with self._context.database.begin() as session:
            await queue.store(await raw(session), batch, now)
            for endpoint_id, reason in disabled.items():
                await endpoints.disable(session, endpoint_id, reason, now)

    async def _give_back(self, connection: Raw) -> None:
        """Rows that were claimed and not tried, before the next claim: order is kept."""
        rows, self._returned = self._returned, []
        if rows:
            await queue.release(connection, [(row.id, row.leased_until) for row in rows])
        for row in rows:
            self._in_hand.pop(row.id, None)

    async def _leave(self) -> None:
        """The last words: a database that is away only means that leases run out by themselves."""
        try:
            await self._flush()
            self._returned = list(self._in_hand.values())
            async with self._context.database.statement() as connection:
                await self._give_back(connection)
        except DATABASE_AWAY as error:
            log.warning("leases_left", error=type(error).__name__)
        if self._system is not None:
            self._system.close()

    async def _observe(self) -> None:
        while True:
            try:
                async with self._context.database.statement() as connection:
                    WEBHOOK_QUEUE_DEPTH.set(await queue.depth(connection))
            except DATABASE_AWAY as error:
                log.warning("queue_depth_unknown", error=type(error).__name__)
            await asyncio.sleep(OBSERVE_SECONDS)


def _age_ms(event_id: UUID) -> int:
    """Milliseconds of wall time since a UUIDv7 was made."""
    return int(wall().timestamp() * 1000) - (event_id.int >> 80)
