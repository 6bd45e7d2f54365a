"""Reads a run of blocks, and all that moved in them, from one endpoint.

Every answer is held against the headers: a log, trace or receipt of another block, a trace too
few, or no logs where the bloom says there may be some, is never taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import structlog

from chain import decode
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints
from chain.logs import by_block, by_range
from chain.ranges import Range, spread, together
from chain.router import payments_of
from chain.rpc import Rpc
from chain.sweeps import sweeps_of
from chain.types import Movement, Paid, Pushed, Swept
from chain.watch import Watch
from chain.wire import (
    BLOCK_BY_NUMBER,
    BLOCK_RECEIPTS,
    FULL_BLOCK,
    LOGS,
    RECEIPT,
    TRACE_BLOCK,
    TRACE_BY_HASH,
    Header,
    Log,
    Method,
    Receipt,
    Reply,
)
from core.errors import (
    BlockUnknown,
    EndpointFailed,
    Inconsistent,
    RangeTooLarge,
)
from core.networks import Traces

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)

# The root of an empty trie, keccak(rlp("")); some networks fill in zeros, or nothing.
NO_TRANSACTIONS = (
    "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "0x" + "00" * 32,
    None,
)


CALL_TRACER = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": False}}


def _name(method: Method[Any], params: Sequence[Any]) -> bytes:
    return msgspec.json.encode((method.name, params))


def linked(headers: Sequence[Header], parent_hash: str | None = None) -> None:
    """Raises Inconsistent unless each header names the one before as its parent."""
    for before, header in pairwise(headers):
        if header.parentHash != before.hash:
            raise Inconsistent(f"{header.hash} does not follow {before.hash}")
    if parent_hash is not None and headers and headers[0].parentHash != parent_hash:
        raise Inconsistent(f"{headers[0].hash} does not follow {parent_hash}")


def whole(header: Header) -> None:
    """Raises Inconsistent for a block shown without the transactions that its root covers: its
    body is pruned or not there yet, and an empty block is the one thing that is read no further."""
    if not header.transactions and header.transactionsRoot not in NO_TRANSACTIONS:
        raise Inconsistent(f"no transactions in {header.hash}, whose root speaks of some")


class Reader:
    """`endpoint` answers all; `endpoints` are asked only where its logs need a second proof, and
    not at all by a reader that is `alone`: what it reads is that endpoint's own word."""

    def __init__(
        self, watch: Watch, endpoint: Endpoint, endpoints: Endpoints, *, alone: bool = False
    ) -> None:
        self.watch = watch
        self.endpoint = endpoint
        self.endpoints = endpoints
        self.alone = alone
        self._held: dict[bytes, Reply[Any]] = {}  # answers that were asked for together

    @property
    def rpc(self) -> Rpc:
        return self.endpoint.rpc

    @property
    def name(self) -> str:
        return f"{self.watch.network} {self.endpoint.name}"

    def others(self) -> list[Reader]:
        """The same, asking other endpoints."""
        others = () if self.alone else self.endpoints.others(self.endpoint)
        return [Reader(self.watch, endpoint, self.endpoints) for endpoint in others]

    async def glance(self, pushed: Pushed) -> None:
        """Asks in one request for all that a new head needs, as far as it can be told from its
        announcement. Whatever is not answered, or is of another block, is asked for as ever."""
        asked: list[tuple[Method[Any], Sequence[Any]]] = [
            (BLOCK_BY_NUMBER, (tag, False)) for tag in ("latest", "safe", "finalized")
        ]
        if not pushed.empty:
            asked.append(self._native_call(pushed.number, pushed.hash))
            if self.watch.masks:
                asked.append((LOGS, ({**self.watch.log_filter(), "blockHash": pushed.hash},)))
        replies = await self.endpoint.rpc.mixed(asked)
        for (method, params), reply in zip(asked, replies, strict=False):
            if reply.error is None and reply.result not in (None, msgspec.UNSET):
                self._held[_name(method, params)] = reply

    async def _replies(
        self, method: Method[T], calls: Sequence[Sequence[Any]]
    ) -> Sequence[Reply[T]]:
        if self._held:
            held = [self._held.pop(_name(method, params), None) for params in calls]
            known = [reply for reply in held if reply is not None]
            if len(known) == len(calls):
                return known
        return await self.endpoint.rpc.replies(method, calls)

    async def head(self) -> Header:
        [reply] = await self._replies(BLOCK_BY_NUMBER, [("latest", False)])
        header = self.endpoint.rpc.unwrap(BLOCK_BY_NUMBER, reply)
        if header is None:
            raise EndpointFailed(f"{self.name}: no head")
        self.endpoints.saw_head(self.endpoint, number(header.number))
        whole(header)
        return header

    async def tags(self) -> tuple[Header | None, Header | None]:
        """The `safe` and `finalized` blocks; None where the node has no such thing."""
        rpc = self.endpoint.rpc
        replies = await self._replies(BLOCK_BY_NUMBER, [("safe", False), ("finalized", False)])
        safe, finalized = (
            None if reply.error is not None else rpc.unwrap(BLOCK_BY_NUMBER, reply)
            for reply in replies
        )
        return safe, finalized

    async def headers(self, first: int, last: int) -> list[Header]:
        """The headers first..last, linked. Raises BlockUnknown when one is missing."""

        def check(i: int, header: Header | None) -> Header:
            if header is None:
                raise BlockUnknown(f"{self.name}: no {first + i}")
            if header.number != calls[i][0] and number(header.number) != first + i:
                raise Inconsistent(f"block {header.number} where {first + i} was asked")
            whole(header)
            return header

        calls = [(hex(n), False) for n in range(first, last + 1)]
        headers = await self.each(BLOCK_BY_NUMBER, calls, self.endpoint.headers, check)
        linked(headers)
        return headers

    async def contents(
        self, headers: Sequence[Header], *, by_hash: bool
    ) -> tuple[list[Movement], list[Swept], list[Paid]]:
        """All movements, sweeps and router payments of these linked blocks, in chain order.

        by_hash: logs are asked block by block (the tail), else by ranges (catch-up). A block
        without transactions needs no further call.
        """
        busy = [h for h in headers if h.transactions]
        natives: list[list[Movement]] = []
        logs: dict[str, list[Log]] = {}

        async def read_natives() -> None:
            natives.extend(await self._natives(busy))

        async def read_logs() -> None:
            logs.update(await (by_block(self, busy) if by_hash else by_range(self, busy)))

        await together(read_natives(), read_logs())
        movements: list[Movement] = []
        sweeps: list[Swept] = []
        payments: list[Paid] = []
        native = dict(zip((h.hash for h in busy), natives, strict=True))
        for header in headers:
            if header.transactions:
                here, found = native[header.hash], logs.get(header.hash, [])
                if tokens := decode.transfers(header, found, self.watch):
                    here = decode.in_order(header, here + tokens)
                movements += here
                sweeps += await sweeps_of(header, found, self.watch, self.rpc)
                payments += await payments_of(header, found, self.watch, self.rpc)
            if header.withdrawals:
                movements += decode.withdrawals(header)
        return movements, sweeps, payments

    async def receipts(self, header: Header) -> list[Receipt]:
        """All receipts of a block, by hash; one by one where the node has no eth_getBlockReceipts.

        Raises Inconsistent unless they are this block's.
        """
        rpc = self.endpoint.rpc
        try:
            answer = await rpc.call(BLOCK_RECEIPTS, header.hash)
        except BlockUnknown:
            raise
        except (EndpointFailed, RangeTooLarge):
            # Method unknown or answer too large. If the endpoint is down this fails as well.
            calls = [(tx_hash,) for tx_hash in header.transactions]
            answer = [
                r
                for r in await self.each(RECEIPT, calls, self.endpoint.traces, lambda _, r: r)
                if r is not None
            ]
        if answer is None:
            raise BlockUnknown(f"{self.name}: no {header.hash}")
        decode.check_receipts(header, answer)
        return answer

    async def _natives(self, busy: Sequence[Header]) -> list[list[Movement]]:
        method = self._native_call("", "")[0]
        calls = [self._native_call(h.number, h.hash)[1] for h in busy]
        if self.watch.traces is Traces.DEBUG:
            return await self.each(
                method,
                calls,
                self.endpoint.traces,
                lambda i, answer: decode.traces(busy[i], self._known(busy[i], answer)),
            )
        if self.watch.traces is Traces.TRACE:
            return await self.each(
                method,
                calls,
                self.endpoint.traces,
                lambda i, answer: decode.trace_items(busy[i], self._known(busy[i], answer)),
            )
        found = []
        blocks = await self.each(
            method,
            calls,
            self.endpoint.traces,
            lambda i, answer: self._known(busy[i], answer),
        )
        for header, full in zip(busy, blocks, strict=True):
            pays = any(number(t.value) for t in full.transactions)
            receipts = await self.receipts(header) if pays else []
            found.append(decode.transactions(header, full, receipts) if pays else [])
        return found

    def _native_call(self, number: str, block_hash: str) -> tuple[Method[Any], Sequence[Any]]:
        """How this network's ETH inside a block is asked for."""
        if self.watch.traces is Traces.DEBUG:
            return TRACE_BY_HASH, (block_hash, CALL_TRACER)
        if self.watch.traces is Traces.TRACE:
            return TRACE_BLOCK, (number,)
        return FULL_BLOCK, (block_hash, True)

    def _known(self, header: Header, answer: T | None) -> T:
        if answer is None:
            raise BlockUnknown(f"{self.name}: no {header.hash}")
        return answer

    async def each(
        self,
        method: Method[T],
        calls: Sequence[Sequence[Any]],
        sizing: Range,
        use: Callable[[int, T], R],
    ) -> list[R]:
        """`use(i, answer)` of every call, in order. An answer is let go once it is used: the
        traces of many blocks are large. Raises RangeTooLarge when one call alone is refused."""
        results: dict[int, R] = {}

        async def fetch(a: int, b: int) -> None:
            replies = await self._replies(method, calls[a : b + 1])
            for i, reply in enumerate(replies, start=a):
                results[i] = use(i, self.endpoint.rpc.unwrap(method, reply))

        await spread(0, len(calls) - 1, sizing, fetch)
        return [results[i] for i in range(len(calls))]
