"""Which endpoints hold the same chain: who agrees with a batch, and whether a fork is believed.

A hash names all of its ancestors, so one equal hash is agreement on every block below it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import structlog

from chain.decode import number
from chain.endpoints import Endpoint, Endpoints
from chain.ranges import together
from chain.types import Block, Cursor
from chain.wire import BLOCK_BY_NUMBER, Header
from core.errors import ChainError

log = structlog.get_logger(__name__)

REMEMBERED_BLOCKS = 2_048  # how long another endpoint may be late to agree
COMPARED_BLOCKS = 64  # how far down a disagreement is looked into


class Agreement:
    """Remembers the last blocks and who agreed to them. Only a cache: lost, it is asked again."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._chain: OrderedDict[int, tuple[str, frozenset[str]]] = OrderedDict()

    def hash_at(self, height: int) -> str | None:
        """The hash we read at this height, if it is one of the last ones."""
        known = self._chain.get(height)
        return None if known is None else known[0]

    async def ask(
        self, source: Endpoint, fork: int | None, blocks: Sequence[Block]
    ) -> dict[str, frozenset[str]]:
        """Block hash -> endpoints that hold it: for this batch's blocks, and for earlier ones
        that won an endpoint since. Never raises: who does not answer does not agree."""
        if fork is not None:
            for height in [n for n in self._chain if n > fork]:
                del self._chain[height]
        alone = frozenset({source.name})
        for block in blocks:
            self._chain[block.number] = (block.hash, alone)
        news = {block.hash for block in blocks}
        others = self._endpoints.others(source) if self._chain else []
        answers = await together(*(self._agrees_to(e) for e in others))
        self._judge(source, dict(zip(others, answers, strict=True)))
        for endpoint, answer in zip(others, answers, strict=True):
            if answer is None:
                continue
            for n, (block_hash, names) in self._chain.items():
                if n <= answer[0] and endpoint.name not in names:
                    self._chain[n] = (block_hash, names | {endpoint.name})
                    news.add(block_hash)
        agreed = {h: names for h, names in self._chain.values() if h in news}
        while len(self._chain) > REMEMBERED_BLOCKS:
            self._chain.popitem(last=False)
        return agreed

    async def _agrees_to(self, endpoint: Endpoint) -> tuple[int, bool] | None:
        """The highest block of ours that it holds (-1: none of the last ones), and whether it
        holds another one somewhere. None when it does not answer or is too far behind."""
        top = next(reversed(self._chain))
        try:
            head, at_top = await self._headers(endpoint, ["latest", hex(top)])
            if head is None:
                return None
            self._endpoints.saw_head(endpoint, number(head.number))
            its = at_top or head
            height = number(its.number)
            if height not in self._chain:
                return None
            if self._chain[height][0] == its.hash:
                return height, False
            below = [n for n in self._chain if height - COMPARED_BLOCKS <= n < height]
            held = await self._headers(endpoint, [hex(n) for n in below])
        except ChainError as error:
            self._endpoints.failed(endpoint, error)
            return None
        same = [n for n, h in zip(below, held, strict=True) if h and h.hash == self._chain[n][0]]
        return max(same, default=-1), True

    def _judge(self, source: Endpoint, answers: dict[Endpoint, tuple[int, bool] | None]) -> None:
        """Blames the smaller side of a disagreement, or both of the same size."""
        differing = [e for e, answer in answers.items() if answer is not None and answer[1]]
        agreeing = 1 + sum(1 for a in answers.values() if a is not None and not a[1])
        if not differing:
            return
        top = next(reversed(self._chain))
        if len(differing) <= agreeing:
            for endpoint in differing:
                self._endpoints.disagreed(endpoint, top)
        if len(differing) >= agreeing:
            self._endpoints.disagreed(source, top)

    async def _headers(self, endpoint: Endpoint, tags: Sequence[str]) -> list[Header | None]:
        return await endpoint.rpc.many(
            BLOCK_BY_NUMBER,
            [(tag, False) for tag in tags],
            timeout=self._endpoints.short_timeout,
        )

    async def believes_fork(self, source: Endpoint, cursor: Cursor, head: int) -> bool:
        """Whether a fork seen at one endpoint is to be followed.

        Not while as many endpoints, with heads at least as high, still hold our own block: then
        the one is stale or wrong, or the network undecided, and time tells.
        """
        holding, denying = 0, 1
        for endpoint in self._endpoints.others(source):
            try:
                top, ours = await self._headers(endpoint, ["latest", hex(cursor.number)])
            except ChainError as error:
                self._endpoints.failed(endpoint, error)
                continue
            if top is None:
                continue
            self._endpoints.saw_head(endpoint, number(top.number))
            if ours is not None and ours.hash == cursor.hash and number(top.number) >= head:
                holding += 1
            else:
                denying += 1
        if holding >= denying:
            self._endpoints.disagreed(source, cursor.number)
            log.warning(
                "fork_not_believed",
                network=self._endpoints.network.id,
                endpoint=source.name,
                height=cursor.number,
                holding=holding,
                denying=denying,
            )
            return False
        return True
