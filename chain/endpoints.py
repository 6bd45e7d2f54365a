"""A network's endpoints: who is asked first, who is left alone for a while, who comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from chain.decode import number
from chain.ranges import Range
from chain.rpc import Rpc
from chain.wire import BLOCK_BY_NUMBER, CHAIN_ID
from core.errors import ChainError, EndpointFailed
from core.metrics import CHAIN_DISAGREEMENTS, ENDPOINT_SCORE
from core.networks import Network

log = structlog.get_logger(__name__)

FAILURES_TO_QUARANTINE = 3  # in a row
QUARANTINE_SECONDS = 2  # doubled each time it fails on its return
QUARANTINE_LONGEST_SECONDS = 300
BLAME_HALVES_SECONDS = 60  # an error or a disagreement weighs half as much after this long


class Endpoint:
    """One endpoint, what it lets us ask for at once, and its record.

    Score: 100, less 5 for each block it lags (at most 40), less what it is blamed for.
    """

    def __init__(self, rpc: Rpc, clock: Callable[[], float]) -> None:
        self.rpc = rpc
        self.headers = Range(50, largest=200)
        self.traces = Range(10, largest=100)
        self.logs = Range(50, largest=200)  # blocks; a span (run.py) is no longer
        self.head: int | None = None
        self.lag = 0  # blocks behind the furthest endpoint
        self.errors = 0  # since the start
        self.quarantined_until: float | None = None  # by `clock`
        self.chain_checked = False
        self._clock = clock
        self._blame = 0
        self._blamed_at = clock()
        self._in_a_row = 0
        self._quarantines = 0

    @property
    def name(self) -> str:
        return self.rpc.name

    @property
    def quarantined(self) -> bool:
        return self.quarantined_until is not None and self._clock() < self.quarantined_until

    @property
    def score(self) -> int:
        return max(0, 100 - min(40, 5 * self.lag) - self._blame_now())

    def _blame_now(self) -> int:
        halvings = int((self._clock() - self._blamed_at) // BLAME_HALVES_SECONDS)
        return self._blame >> min(halvings, 16)

    def blame(self, points: int) -> None:
        self._blame = min(100, self._blame_now() + points)
        self._blamed_at = self._clock()

    def succeeded(self) -> None:
        self._in_a_row = 0
        self._quarantines = 0
        self.quarantined_until = None

    def failed(self) -> None:
        """An unusable answer. The third in a row, and each one after a return, quarantines."""
        self.errors += 1
        self.blame(20)
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_TO_QUARANTINE or self._quarantines:
            wait = min(QUARANTINE_LONGEST_SECONDS, QUARANTINE_SECONDS << min(self._quarantines, 10))
            self._quarantines += 1
            self.quarantined_until = self._clock() + wait
            self.chain_checked = False  # it may come back as another node


@dataclass(frozen=True, slots=True)
class Health:
    """What `/v1/networks` shows of an endpoint. `url_host` is host and port only."""

    url_host: str
    score: int
    head: int | None
    lag: int
    errors: int
    quarantined_until: datetime | None


class Endpoints:
    """All endpoints of one network. Nothing here is stored: a restart begins without blame."""

    def __init__(
        self,
        network: Network,
        *,
        timeout: float = 10.0,
        short_timeout: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.network = network
        self.short_timeout = short_timeout  # seconds, for what is nice to know
        self.push_connected = False
        self._clock = clock
        self.all = [
            Endpoint(Rpc(url, network.id, timeout=timeout), clock) for url in network.rpc_urls
        ]

    async def __aenter__(self) -> Endpoints:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for endpoint in self.all:
            await endpoint.rpc.close()

    def ranked(self) -> list[Endpoint]:
        """Those to be asked, best first, configured order among equals.

        If all are quarantined the one that is due first is asked all the same: with a single
        endpoint there is nothing better to do than try.
        """
        free = [e for e in self.all if not e.quarantined]
        if not free:
            return [min(self.all, key=lambda e: e.quarantined_until or 0)]
        return sorted(free, key=lambda e: -e.score)

    def others(self, endpoint: Endpoint) -> list[Endpoint]:
        """The other ones not in quarantine, best first."""
        return [e for e in self.ranked() if e is not endpoint]

    async def check_chain(self, endpoint: Endpoint) -> None:
        """Once after each start or quarantine: is it a node of this chain at all?

        Raises EndpointFailed.
        """
        if endpoint.chain_checked:
            return
        answer = number(await endpoint.rpc.call(CHAIN_ID))
        if answer != self.network.chain_id:
            raise EndpointFailed(
                f"{self.network.id} {endpoint.name}: chain id {answer},"
                f" {self.network.chain_id} is configured"
            )
        endpoint.chain_checked = True

    def saw_head(self, endpoint: Endpoint, head: int) -> None:
        endpoint.head = head
        best = max(e.head for e in self.all if e.head is not None)
        for e in self.all:
            e.lag = 0 if e.head is None else best - e.head
            self._publish(e)
        # A head that only went down everywhere (a fork to fewer blocks) is no lag for ever: the
        # survey reads all heads anew.

    def succeeded(self, endpoint: Endpoint) -> None:
        endpoint.succeeded()
        self._publish(endpoint)

    def failed(self, endpoint: Endpoint, error: ChainError) -> None:
        endpoint.failed()
        self._publish(endpoint)
        log.warning(
            "endpoint_failed",
            network=self.network.id,
            endpoint=endpoint.name,
            error=type(error).__name__,
            detail=str(error),
            score=endpoint.score,
            quarantined=endpoint.quarantined,
        )

    def disagreed(self, endpoint: Endpoint, height: int) -> None:
        """It holds another hash than others at this height, or shows other movements there."""
        endpoint.blame(15)
        CHAIN_DISAGREEMENTS.labels(self.network.id, endpoint.name).inc()
        self._publish(endpoint)
        log.warning(
            "endpoints_disagree", network=self.network.id, endpoint=endpoint.name, height=height
        )

    def _publish(self, endpoint: Endpoint) -> None:
        ENDPOINT_SCORE.labels(self.network.id, endpoint.name).set(endpoint.score)

    async def survey(self, endpoints: Sequence[Endpoint]) -> None:
        """Reads the heads of these, so that a stuck one is told from a quiet chain."""
        for endpoint in endpoints:
            try:
                header = await endpoint.rpc.call(
                    BLOCK_BY_NUMBER, "latest", False, timeout=self.short_timeout
                )
                if header is None:
                    continue
                self.saw_head(endpoint, number(header.number))
            except ChainError as error:
                self.failed(endpoint, error)

    def snapshot(self) -> list[Health]:
        """For people: every endpoint, in configured order."""
        now, wall = self._clock(), datetime.now(UTC)
        return [
            Health(
                url_host=e.name,
                score=e.score,
                head=e.head,
                lag=e.lag,
                errors=e.errors,
                quarantined_until=(
                    wall + timedelta(seconds=e.quarantined_until - now)
                    if e.quarantined_until is not None and e.quarantined
                    else None
                ),
            )
            for e in self.all
        ]


def tag(value: int) -> Any:
    """A block number as JSON-RPC wants it."""
    return hex(value)
