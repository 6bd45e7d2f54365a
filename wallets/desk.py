"""What sending and tending share: fees of the moment, the signer's pen, the way to the nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from chain import broadcast
from chain.endpoints import Endpoints
from chain.fees import Fees, Market
from chain.refusals import Refusal
from core import metrics
from core.context import Context
from core.errors import ChainError, KeyUnavailable, SignerAway, SignerError
from core.ids import show
from core.networks import Network
from wallets import senders, variants
from wallets.intents import Intent, Order, Signed
from wallets.judging import ACCEPTED
from wallets.senders import Due
from wallets.signer.client import Signer
from wallets.tables import Transaction
from wallets.transactions import Observed, Status, own
from wallets.variants import Variant

log = structlog.get_logger()

T = TypeVar("T")

SIGN_SECONDS = 2  # the sender's row is locked meanwhile
AWAY_SECONDS = 1  # a signer that did not answer is left alone for as long
MARKET_SECONDS = 2  # an offer may rest on a market this old
SOON_SECONDS = 1
LOOK_SECONDS = 5  # the first look after a pool took the bytes, or a block's time
LONGEST_PAUSE_SECONDS = 60

# Told of transactions that ended without a block: failed before they were sent, or cancelled.
Ended = Callable[[AsyncSession, Observed], Awaitable[None]]


async def nobody(_session: AsyncSession, _observed: Observed) -> None:
    """Where nobody waits for an end."""


class Desk:
    """One network's. `ended` is called in the transaction that ends a row without a block."""

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        signer: Signer,
        ended: Ended = nobody,
    ) -> None:
        self.context = context
        self.network = network
        self.endpoints = endpoints
        self.ended = ended
        self._signer = signer
        self._away_until = 0.0  # by the monotonic clock
        self._market: tuple[datetime, Market] | None = None

    def now(self) -> datetime:
        return self.context.clock.now()

    def look_after(self, variant: Variant, *, taken: bool) -> timedelta:
        """Until when to leave a variant alone. A block tells of itself, so looks only find what
        was dropped or is stuck: after half of its age each time, but in good time for a bump.
        """
        longest = max(SOON_SECONDS, self.network.fees.stuck_after_seconds / 3)
        first = max(LOOK_SECONDS, self.network.block_seconds) if taken else SOON_SECONDS
        age = (self.now() - variant.made_at).total_seconds()
        return timedelta(seconds=min(max(first, age / 2), longest))

    async def market(self) -> Market:
        """Fees as they are now, or were a moment ago. Raises ChainError."""
        old = self.now() - timedelta(seconds=MARKET_SECONDS)
        if self._market is None or self._market[0] < old:
            self._market = (self.now(), await broadcast.market(self.endpoints))
        return self._market[1]

    def order(self, due: Due, intent: Intent, *, nonce: int, gas: int, fees: Fees) -> Order:
        return Order(
            id=show("tx", due.order_id),
            network=due.network,
            chain_id=self.network.chain_id,
            wallet=due.wallet,
            nonce=nonce,
            gas=gas,
            max_fee=fees.max_fee,
            priority_fee=fees.priority_fee,
            intent=intent,
        )

    async def sign(self, order: Order) -> Signed:
        """Raises SignerRefused, NeedsApproval, SignerAway; in any case within SIGN_SECONDS."""
        return await self._ask(lambda: self._signer.sign(order))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        if time.monotonic() < self._away_until:
            raise SignerAway("the signer did not answer a moment ago")
        try:
            async with asyncio.timeout(SIGN_SECONDS):
                return await ask()
        except TimeoutError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise SignerAway(f"no answer in {SIGN_SECONDS} s") from None
        except KeyUnavailable:
            raise  # one wallet's: the others are signed for as ever
        except SignerAway:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    async def hand(self, due: Due, variant: Variant) -> None:
        """Gives stored bytes to the nodes, after the signer was told that they leave."""
        if variant.handed_at is None:
            try:
                order_id = show("tx", due.order_id)
                await self._ask(lambda: self._signer.broadcast(order_id, variant.tx_hash))
            except SignerError as error:
                await self.wait(due, error.code)
                return
        answer = await broadcast.hand(self.endpoints, variant.raw, variant.tx_hash)
        taken = answer.refusal in (None, Refusal.KNOWN)
        outcome = ACCEPTED if taken else str(answer.refusal)
        if not taken:
            metrics.TRANSACTION_REFUSALS.labels(self.network.id, outcome).inc()
            log.warning(
                "transaction_not_taken", network=self.network.id, transaction=show("tx", due.id),
                tx_hash=variant.tx_hash, refusal=outcome, detail=answer.detail,
            )  # fmt: skip
        now = self.now()
        later = self.look_after(variant, taken=taken)
        async with self.context.database.statement() as connection:
            await variants.handed(
                connection, due, variant.tx_hash,
                outcome=outcome, detail=answer.detail, now=now, due_at=now + later,
            )  # fmt: skip

    async def wait(self, due: Due, reason: str | None, *, seconds: float | None = None) -> None:
        """Leaves a row for later: by its reason's own time, else longer each time."""
        pause = min(2**due.attempts, LONGEST_PAUSE_SECONDS) if seconds is None else seconds
        if reason is not None and reason != due.reason:
            log.info(
                "transaction_waits", network=self.network.id, transaction=show("tx", due.id),
                status=due.status, reason=reason,
            )  # fmt: skip
        async with self.context.database.statement() as connection:
            await senders.wait(connection, due, self.now() + timedelta(seconds=pause), reason)

    async def fail(self, due: Due, reason: str) -> None:
        """Ends one that was never signed: it cannot work, and nothing is consumed."""
        async with self.context.database.begin() as session:
            row = await session.get(Transaction, due.id, with_for_update=True)
            if row is None or row.status != Status.PREPARED:
                return
            row.status, row.reason, row.ended_at = Status.FAILED, reason, self.now()
            await session.flush()
            await self.ended(session, Observed(confirmed=(own(row),)))
        log.warning(
            "transaction_failed", network=self.network.id, transaction=show("tx", due.id),
            reason=reason,
        )  # fmt: skip

    async def market_if_known(self) -> Market | None:
        """None while no node tells."""
        with suppress(ChainError):
            return await self.market()
        return None
