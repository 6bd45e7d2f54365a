"""Follows a network by hash: from the last applied block to the next batch (CHAIN 1).

Holds nothing that matters: the truth is the cursor it is given, and what the caller stored.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from typing import TypeVar

import structlog

from chain import balances, decode
from chain.agreement import Agreement
from chain.ancestor import Stored, common_ancestor
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints
from chain.reader import Reader
from chain.receipts import read_receipts
from chain.run import Run, read_run
from chain.types import Batch, Block, Cursor, Movement, Pushed, Receipt
from chain.watch import Watch
from chain.wire import Header
from core.errors import (
    BlockUnknown,
    ChainError,
    EndpointFailed,
    ForkBelowFinalized,
    Inconsistent,
)
from core.networks import Network

log = structlog.get_logger(__name__)

T = TypeVar("T")


# The hashes of our own transactions that a block may carry. Asked after a block's header was read:
# they are stored before they leave, so none that it carries can be missing. None: nothing of ours
# is believed to be under way, which whoever applies the batch must look at again.
Outstanding = Callable[[], Awaitable[Collection[str] | None]]


class _Behind(Exception):
    """The endpoint lags on our own chain, or shows a fork that is not to be believed yet."""


class Follower:
    """One per network. `blocks_max` bounds a batch that has no fork, and so does `movements_max`,
    lest it fill the memory; `outstanding` None: nothing of ours is ever sent."""

    def __init__(
        self,
        network: Network,
        endpoints: Endpoints,
        *,
        outstanding: Outstanding | None = None,
        blocks_max: int = 2000,
        movements_max: int = 50_000,
    ) -> None:
        self._network = network
        self._outstanding = outstanding
        self.endpoints = endpoints
        self._blocks_max = blocks_max
        self._movements_max = movements_max
        self._watch = Watch.of(network)
        self._agreement = Agreement(endpoints)
        self._surveyed_at = 0.0

    async def next_batch(
        self,
        cursor: Cursor,
        *,
        finalized: int | None,
        stored: Stored,
        pushed: Pushed | None = None,
    ) -> Batch | None:
        """What came after `cursor`, or None when nothing did.

        finalized: the highest finalized block stored earlier. stored(n): the stored hash of block
        n, None if it is older than what is kept (which must reach back to `finalized`, or 64
        blocks). pushed: the head that was announced, if one was. Raises ForkBelowFinalized;
        EndpointFailed, RangeTooLarge or Inconsistent when no endpoint brought a usable answer:
        then nothing is known and the cursor stays.
        """

        async def read(endpoint: Endpoint) -> Batch | None:
            return await self._read(endpoint, cursor, finalized, stored, pushed)

        try:
            batch = await self._from_any(read)
            if batch is None and await self._others_are_ahead(cursor):
                batch = await self._from_any(read)
        except _Behind:
            return None
        return batch

    async def refresh(self, cursor: Cursor, *, stored: Stored) -> Batch | None:
        """An empty batch at `cursor` while it is the head: what became safe, final or agreed to
        since its block came. None when there is something to follow instead."""

        async def read(endpoint: Endpoint) -> Batch | None:
            reader = self._reader(endpoint)
            head = await reader.head()
            if head.hash != cursor.hash:
                return None
            safe, final = await self._tags(reader, cursor.number, Run(), stored)
            return Batch(
                network=self._network.id,
                start=cursor,
                fork=None,
                blocks=(),
                movements=(),
                sweeps=(),
                head=cursor.number,
                safe=safe,
                finalized=final,
                agreed=await self._agreement.ask(endpoint, None, ()),
            )

        try:
            return await self._from_any(read)
        except _Behind:
            return None

    async def start_cursor(self) -> Cursor:
        """The head, for a network that is followed for the first time."""

        async def read(endpoint: Endpoint) -> Cursor:
            head = await self._reader(endpoint).head()
            return Cursor(number(head.number), head.hash)

        return await self._from_any(read)

    def measured(self, batch: Batch) -> set[str]:
        """The addresses for which `measure` has something to ask, were they ours."""
        return balances.measured(batch, self._watch)

    async def measure(self, batch: Batch, ours: Container[str]) -> Batch:
        """The batch with what only our own addresses are worth asking for (balances.measure)."""

        async def read(endpoint: Endpoint) -> Batch:
            return await balances.measure(batch, ours, self._reader(endpoint))

        return await self._from_any(read)

    async def compare_balances(self, block: Block, known: Mapping[str, int]) -> list[Movement]:
        """What reached these addresses without a trace (balances.compare). Never raises."""
        for endpoint in self.endpoints.ranked():
            try:
                return await balances.compare(block, known, self._network, endpoint.rpc)
            except BlockUnknown:
                continue  # its state is gone: the next block that is asked shows the same
            except ChainError as error:
                self.endpoints.failed(endpoint, error)
        return []

    def _reader(self, endpoint: Endpoint) -> Reader:
        return Reader(self._watch, endpoint, self.endpoints)

    async def _from_any(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        """The answer of the best endpoint that brings one; all of it from that one.

        Answers that contradict each other are asked for once more, since a fork may have come
        between two calls; then the endpoint is blamed.
        """
        failure: ChainError | None = None
        behind = False
        for endpoint in self.endpoints.ranked():
            try:
                await self.endpoints.check_chain(endpoint)
                try:
                    answer = await read(endpoint)
                except (Inconsistent, BlockUnknown):
                    answer = await read(endpoint)
            except _Behind:
                behind = True
            except ForkBelowFinalized:
                raise
            except ChainError as error:
                self.endpoints.failed(endpoint, error)
                failure = failure or error
            else:
                self.endpoints.succeeded(endpoint)
                return answer
        if behind or failure is None:
            raise _Behind
        raise failure

    async def _others_are_ahead(self, cursor: Cursor) -> bool:
        """Once a block time: a stuck endpoint looks just like a chain without new blocks."""
        others = self.endpoints.ranked()[1:]
        now = time.monotonic()
        if not others or now - self._surveyed_at < max(1, self._network.block_seconds):
            return False
        self._surveyed_at = now
        await self.endpoints.survey(others)
        return any(e.head is not None and e.head > cursor.number for e in others)

    async def _read(
        self,
        endpoint: Endpoint,
        cursor: Cursor,
        finalized: int | None,
        stored: Stored,
        pushed: Pushed | None,
    ) -> Batch | None:
        reader = self._reader(endpoint)
        if pushed is not None:
            await reader.glance(pushed)
        head = await reader.head()
        top = number(head.number)
        if top == cursor.number and head.hash == cursor.hash:
            return None
        if top < cursor.number:
            held = await stored(top)
            if held is None:
                raise EndpointFailed(
                    f"{self._network.id} {endpoint.name}: its head {top} is older than what is kept"
                )
            if held == head.hash:
                raise _Behind
        start = await self._canonical(reader, cursor, head)
        if start is None:
            if not await self._agreement.believes_fork(endpoint, cursor, top):
                raise _Behind
            start = await common_ancestor(
                reader, head, cursor, finalized=finalized, stored=stored, network=self._network.id
            )
        forked = start.number < cursor.number
        last = min(top, cursor.number + self._blocks_max)
        whole = cursor.number if forked else 0
        run = await read_run(
            reader, start, head, last, whole_until=whole, movements_max=self._movements_max
        )
        safe, final = await self._tags(reader, top, run, stored)
        blocks = [decode.block(h) for h in run.headers]
        fork = start.number if forked else None
        if forked:
            log.warning(
                "fork", network=self._network.id, ancestor=start.number, cursor=cursor.number
            )
        return Batch(
            network=self._network.id,
            start=cursor,
            fork=fork,
            blocks=blocks,
            movements=run.movements,
            sweeps=run.sweeps,
            head=top,
            safe=safe,
            finalized=final,
            agreed=await self._agreement.ask(endpoint, fork, blocks),
            receipts=await self._receipts(endpoint, run),
            payments=run.payments,
        )

    async def _receipts(self, endpoint: Endpoint, run: Run) -> list[Receipt] | None:
        """Of our own transactions, by the same endpoint; nothing is asked of empty blocks."""
        if self._outstanding is None or not any(h.transactions for h in run.headers):
            return []
        hashes = await self._outstanding()
        return None if hashes is None else await read_receipts(endpoint.rpc, run.headers, hashes)

    async def _canonical(self, reader: Reader, cursor: Cursor, head: Header) -> Cursor | None:
        """The cursor if it is on the chain of this head, None for a fork."""
        top = number(head.number)
        if top == cursor.number + 1:
            return cursor if head.parentHash == cursor.hash else None
        if top <= cursor.number:
            return None
        [there] = await reader.headers(cursor.number, cursor.number)
        return cursor if there.hash == cursor.hash else None

    async def _tags(
        self, reader: Reader, top: int, run: Run, stored: Stored
    ) -> tuple[int | None, int | None]:
        """The numbers of `safe` and `finalized`, once they are known to be on our chain."""
        first = number(run.headers[0].number) if run.headers else top + 1
        numbers: list[int | None] = []
        for header in await reader.tags():
            if header is None:
                numbers.append(None)
                continue
            n = number(header.number)
            if n > top:  # the chain went on while we read: the next look tells
                numbers.append(None)
                continue
            if first <= n < first + len(run.headers):
                ours: str | None = run.headers[n - first].hash
            else:
                ours = self._agreement.hash_at(n)
                if ours != header.hash and n < first:
                    ours = await stored(n)  # None: older than what is kept
            if ours not in (None, header.hash):
                raise Inconsistent(f"{self._network.id}: {header.hash} is final on another chain")
            numbers.append(n)
        return numbers[0], numbers[1]
