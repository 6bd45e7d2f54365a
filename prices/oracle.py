"""The oracle's loop: read a network's feeds, judge them, store what changed, say so.

Nothing is remembered outside the database: a restart, or a standby that takes over, goes on from
the last accepted round as it is stored, so a round cannot go backwards across it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chain import oracle
from chain.endpoints import Endpoints
from chain.oracle import RoundData
from core.clock import wall
from core.context import Context
from core.errors import ChainError
from core.listen import Subscription, notify
from core.metrics import PRICE_REFUSALS
from core.money import LARGEST
from core.networks import Feed, Network
from core.singleton import Lost, hold
from core.work import DATABASE_AWAY
from prices import second
from prices.book import PriceBook, StoredPrice, load
from prices.judge import Reason, sequencer_state
from prices.rates import scaled, unix
from prices.second import Mid
from prices.settle import (
    Agreement,
    Settled,
    apart_since,
    are_apart,
    chosen_price,
    judge_apart,
    settle,
)
from prices.sources import CHAINLINK, Source, after, first, parse
from prices.tables import Price, Reading
from webhooks.events import NewEvent, emit

log = structlog.get_logger(__name__)

LEAST_PAUSE_SECONDS = 0.2  # between steps, however fast blocks come


class Oracle:
    """One network's feeds. Several networks may carry the same pair: their sources are merged."""

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        *,
        agreement: Agreement | None = None,
    ) -> None:
        self._context = context
        self._network = network
        self._endpoints = endpoints
        limits = context.quotes
        self._agreement = agreement or Agreement(limits.agreement, limits.stable_agreement)
        self._feeds = sorted(network.feeds, key=lambda feed: feed.pair)
        self._mids: Mapping[second.Pair, list[Mid]] = {}  # as they were at this step's beginning

    async def check(self) -> None:
        """Raises Misconfigured when a feed is not what the configuration says it is."""
        await oracle.check(self._endpoints)

    async def run(self, poll_seconds: float) -> None:
        """Steps at each new block, and every `poll_seconds`, under a lock of its own.

        Raises Misconfigured at start.
        """
        if not self._feeds:
            return
        await self._check_until_answered(poll_seconds)
        while True:
            try:
                async with (
                    hold(self._context.database, f"oracle:{self._network.id}") as held,
                    self._context.listener.subscribe("block") as blocks,
                ):
                    while True:
                        await held.check()
                        await self.step()
                        await self._wait(blocks, poll_seconds)
                        # A block's payments come first, and blocks that follow fast are one look.
                        await asyncio.sleep(LEAST_PAUSE_SECONDS)
            except (Lost, *DATABASE_AWAY) as error:
                log.warning(
                    "oracle_interrupted", network=self._network.id, error=type(error).__name__
                )
                await asyncio.sleep(1)

    async def step(self) -> None:
        """One reading of all feeds, and all that follows from it."""
        async with self._context.database.statement() as connection:
            book = await load(connection)
            self._mids = await second.load(connection, wall())
        stored = {f.pair: self._own(book.row(f.base, f.quote), f) for f in self._feeds}
        new = await self._read(stored)
        now = self._context.clock.now()
        news = [feed for feed in self._feeds if self._is_news(feed, book, stored, new, now)]
        if not news:
            return
        async with self._context.database.begin() as session:
            for feed in news:  # in the order of their names, so that two networks never deadlock
                await self._store(session, feed, stored[feed.pair], new[feed.pair], now)
            await notify(session, "prices")

    async def _read(self, stored: Mapping[str, Source | None]) -> dict[str, Source]:
        try:
            reading = await oracle.read(self._endpoints)
        except ChainError:
            reading = None  # logged and counted by the endpoints: nothing is known
        now = self._context.clock.now()
        sequencer: Reason | None = None
        if reading is not None and self._network.sequencer_feed is not None:
            grace = self._network.sequencer_grace_seconds
            sequencer = sequencer_state(reading.sequencer, unix(now), grace)
        new: dict[str, Source] = {}
        for feed in self._feeds:
            source = stored[feed.pair] or first(self._network, feed, now)
            round_ = reading.rounds[feed.address] if reading else None
            forked = False
            if reading is not None and round_ is not None and _is_behind(round_, source):
                held = await self._hash_at(reading, source.accepted)
                # Above the head of a lagging endpoint nothing can be told: unknown.
                round_ = round_ if held is not None else None
                forked = source.accepted is not None and held != source.accepted.block_hash
            new[feed.pair] = after(source, feed, round_, now, sequencer, forked=forked)
        return new

    async def _hash_at(self, reading: oracle.Reading, accepted: RoundData | None) -> str | None:
        """What the chain holds now where the accepted round was read; None where unknown."""
        if accepted is None:
            return None
        try:
            return await oracle.hash_at(reading.endpoint, accepted.block_number)
        except ChainError as error:
            self._endpoints.failed(reading.endpoint, error)
            return None

    def _own(self, row: StoredPrice | None, feed: Feed) -> Source | None:
        """Our network's source in a row; another feed configured meanwhile starts anew."""
        for source in _parsed(row):
            if source.network == self._network.id and source.feed == feed.address:
                return source
        return None

    def _is_news(
        self,
        feed: Feed,
        book: PriceBook,
        stored: Mapping[str, Source | None],
        new: Mapping[str, Source],
        now: datetime,
    ) -> bool:
        """A new reading, or time passed and the row tells otherwise now."""
        row, source = book.row(feed.base, feed.quote), new[feed.pair]
        if row is None or stored[feed.pair] is None or source is not stored[feed.pair]:
            return True
        settled, mids = self._settled(feed, row, source, now)
        if (settled.price, settled.refused) != (row.price, row.refused):
            return True
        if _apart(settled.sources) != _apart(row.sources):
            return True
        return second.is_news(mids, _mids(row), wall())

    def _settled(
        self, feed: Feed, row: StoredPrice | None, source: Source, now: datetime
    ) -> tuple[Settled, list[Mid]]:
        """And what the venues say to the price that counts."""
        carriers, at = self._carriers(feed), unix(now)
        sources = [source, *(s for s in _parsed(row) if s.network in carriers)]
        heard = self._mids.get((feed.base, feed.quote), [])
        limit = self._agreement.limit(feed.base)
        mids = second.judge(chosen_price(sources, at), heard, _mids(row), limit, wall())
        differ = are_apart(feed.base, sources, at, self._agreement)
        apart = judge_apart(differ, row.sources if row else (), wall())
        return settle(feed.base, sources, at, self._agreement, mids, apart), mids

    def _carriers(self, feed: Feed) -> set[str]:
        """The other networks that carry this pair; one no longer configured has no say."""
        return {
            network.id
            for network in self._context.catalog.networks.values()
            if network.id != self._network.id and any(f.pair == feed.pair for f in network.feeds)
        }

    async def _store(
        self,
        session: AsyncSession,
        feed: Feed,
        read: Source | None,
        source: Source,
        now: datetime,
    ) -> None:
        """Writes the pair's row, the reading if it is a new one, and an event on the edge."""
        key = {"base": feed.base, "quote": feed.quote}
        blank = insert(Price).values(**key, sources=[], observed_at=now)
        await session.execute(blank.on_conflict_do_nothing())
        price = await session.get_one(Price, key, with_for_update=True)
        row = _row(price)
        if self._own(row, feed) != read:
            return  # another oracle was faster: what we judged against is no longer there
        was_unavailable = price.refused is not None
        settled, _ = self._settled(feed, row, source, now)
        price.price, price.updated_at = settled.price, settled.updated_at
        price.valid_until, price.refused = settled.valid_until, settled.refused
        price.sources, price.observed_at = settled.sources, now
        if source != read:
            session.add(_reading(feed, source))
            if source.refused is not None:
                PRICE_REFUSALS.labels(feed.pair, source.refused.value).inc()
                log.warning(
                    "price_refused", network=source.network, pair=feed.pair, reason=source.refused
                )
        if was_unavailable != (settled.refused is not None):
            await _tell(session, _row(price), now)

    async def _check_until_answered(self, poll_seconds: float) -> None:
        while True:
            try:
                return await self.check()
            except ChainError:
                await asyncio.sleep(poll_seconds)

    async def _wait(self, blocks: Subscription, seconds: float) -> None:
        """Until a block of this network was applied, at most `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            if await blocks.next(left) in (self._network.id, ""):
                blocks.drain()
                return


async def _tell(session: AsyncSession, row: StoredPrice, now: datetime) -> None:
    type_ = "price.restored" if row.refused is None else "price.unavailable"
    await emit(session, [NewEvent(None, type_, f"{row.base}-{row.quote}", row.json(now))], now)
    log.warning(type_.replace(".", "_"), pair=row.pair, reason=row.refused)


def _row(price: Price) -> StoredPrice:
    return StoredPrice(
        price.base,
        price.quote,
        price.price,
        price.updated_at,
        price.valid_until,
        price.refused,
        price.sources,
    )


def _is_behind(round_: RoundData, source: Source) -> bool:
    return source.accepted is not None and round_.round_id < source.accepted.round_id


def _parsed(row: StoredPrice | None) -> list[Source]:
    return [parse(s) for s in row.sources if "memory" in s] if row else []


def _mids(row: StoredPrice | None) -> list[Mid]:
    return [second.parse(s) for s in row.sources if second.is_mid(s)] if row else []


def _apart(sources: Iterable[dict[str, Any]]) -> bool:
    return any(apart_since(one) for one in sources)


def _reading(feed: Feed, source: Source) -> Reading:
    evidence = {k: v for k, v in source.json().items() if k not in ("memory", "price", "refused")}
    newest = source.newest
    price = scaled(newest.answer, source.decimals) if newest else 0
    return Reading(
        base=feed.base,
        quote=feed.quote,
        source=CHAINLINK,
        network=source.network,
        price=price if 0 < price <= LARGEST else None,  # an int256 may be more than any column
        refused=source.refused,
        evidence=evidence,
        observed_at=source.observed_at,
    )
