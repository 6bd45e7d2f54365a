"""Sends what was prepared, and tends what was sent, on one network (CHAIN 3).

Any number of workers may do this at once: rows are leased, and the sender's row lock gives out
nonces one by one. Before the lock, with no transaction open: what must revert, or cannot be paid
for, is not sent. Under it: nonce, signature, stored bytes. After the commit: the nodes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from chain import broadcast
from chain.broadcast import CannotPay, Reverts
from chain.endpoints import Endpoints
from chain.fees import Fees, FeesTooHigh, offer
from core import metrics
from core.context import Context
from core.db import raw
from core.errors import ChainError, NeedsApproval, SignerAway, SignerRefused
from core.networks import NATIVE, Network
from core.work import DATABASE_AWAY, Worker
from wallets import senders, variants
from wallets.desk import LOOK_SECONDS, SOON_SECONDS, Desk, Ended, nobody
from wallets.encoding import read_intent
from wallets.intents import Intent, payments_of, transaction
from wallets.judging import INTENT
from wallets.senders import Due
from wallets.signer.client import Signer
from wallets.tending import Tending
from wallets.transactions import CHANNEL, Status
from wallets.variants import Variant

log = structlog.get_logger()

IN_FLIGHT = 32  # per wallet: pools keep few of one account (geth: 16 slots sure, 64 queued)
LEASE_SECONDS = 30
APPROVAL_SECONDS = 60  # `revise` wakes it sooner
OBSERVE_SECONDS = 10

# The signer's refusals that time or the market may lift; all others are for good.
PASSING = frozenset(
    {"velocity_exceeded", "fee_above_cap", "fees_exceeded", "nonce_in_use", "bump_too_small"}
)


class Sending:
    """`in_flight`: how many of a wallet may wait for a block; the next do not wait for them.

    `lease_seconds`: after how long a step that a dead process left is taken up by another one.
    """

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        signer: Signer,
        *,
        ended: Ended = nobody,
        in_flight: int = IN_FLIGHT,
        parallel: int = 16,
        poll_seconds: float = 1.0,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._context = context
        self._network = network
        self._endpoints = endpoints
        self._in_flight = in_flight
        self._lease = timedelta(seconds=lease_seconds)
        self._desk = Desk(context, network, endpoints, signer, ended)
        self._tending = Tending(self._desk)
        # Within a process bytes reach the nodes in the order of their nonces.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._worker = Worker(
            f"transactions {network.id}",
            self.claim,
            self.step,
            parallel=parallel,
            poll_seconds=poll_seconds,
        )

    async def run(self) -> None:
        """Works until cancelled; what was under way is taken up by whoever comes next."""
        async with self._context.listener.subscribe(CHANNEL) as notified:
            observing = asyncio.create_task(self._observe())
            try:
                await self._worker.run(notified, self._context.clock)
            finally:
                observing.cancel()
                await asyncio.gather(observing, return_exceptions=True)

    async def claim(self, limit: int) -> Sequence[Due]:
        """Leases up to `limit` rows that are due."""
        now = self._desk.now()
        async with self._context.database.statement() as connection:
            return await senders.claim(
                connection,
                self._network.id,
                limit=limit,
                in_flight=self._in_flight,
                now=now,
                leased_until=now + self._lease,
            )

    async def step(self, due: Due) -> None:
        """One row's next step; every step may be repeated."""
        if due.status == Status.PREPARED:
            await self._send(due)
        else:
            await self._tending.tend(due)

    async def _send(self, due: Due) -> None:
        """From `prepared` to handed over, or the reason why not."""
        try:
            intent = read_intent(due.intent)
            now = self._desk.now().timestamp()
            if any(p.expires_at <= now for p in payments_of(intent)):
                await self._desk.fail(due, "expired")
            else:
                await self._prepare(due, intent)
        except SignerAway as error:  # it may have signed: a promised nonce stays promised
            await self._desk.wait(due, error.code)
            return
        except Reverts as error:
            await self._desk.fail(due, f"reverts: {error.reason}")
        except CannotPay:
            await self._desk.wait(due, "hot_wallet_short")
        except FeesTooHigh:
            await self._desk.wait(due, "fees_too_high")
        except ChainError as error:
            log.warning("transaction_unprepared", network=self._network.id, error=str(error))
            await self._desk.wait(due, "chain_unreadable")
        except NeedsApproval as error:
            await self._desk.wait(due, error.code, seconds=APPROVAL_SECONDS)
        except SignerRefused as error:
            metrics.SIGNER_REFUSALS.labels(error.code).inc()
            if error.code in PASSING:
                await self._desk.wait(due, error.code)
            else:
                await self._desk.fail(due, error.code)
        except ValueError as error:  # no calldata can hold this intent
            await self._desk.fail(due, f"malformed: {error}"[:300])
            return
        if _approved(due):
            async with self._context.database.statement() as connection:
                await senders.give_back(connection, due)

    async def _prepare(self, due: Due, intent: Intent) -> None:
        await self._know_sender(due.wallet)
        draft = self._desk.order(due, intent, nonce=0, gas=0, fees=Fees(0, 0))
        call = transaction(draft)
        gas = await broadcast.simulate(
            self._endpoints, sender=due.wallet, to=call.to, value=call.value, data=call.data
        )
        gas = max(gas, due.least_gas or 0)
        fees = offer(
            await self._desk.market(),
            self._network.fees,
            due.urgency,
            gas=gas,
            fee_cap=due.fee_cap,
        )
        needed = {token: int(amount) for token, amount in due.spends.items()}
        needed[NATIVE] = needed.get(NATIVE, 0) + gas * fees.max_fee
        held = await broadcast.balances(self._endpoints, due.wallet, list(needed))
        async with self._turns[due.wallet]:
            if _approved(due) and not await self._promise(due):
                return
            signed = await self._sign(due, intent, gas, fees, needed, held)
            if signed is not None:
                await self._desk.hand(*signed)

    async def _sign(
        self,
        due: Due,
        intent: Intent,
        gas: int,
        fees: Fees,
        needed: Mapping[str, int],
        held: Mapping[str, int],
    ) -> tuple[Due, Variant] | None:
        """Nonce, signature and bytes in one transaction; whatever is raised rolls all of it back,
        so that the nonce was never taken."""
        now = self._desk.now()
        async with self._context.database.begin() as session:
            connection = await raw(session)
            locked = await senders.lock(connection, due)
            if locked.status != Status.PREPARED or locked.intent != due.intent:
                return None  # cancelled, revised or sent meanwhile: that step is due by itself
            if locked.in_flight >= self._in_flight or locked.promised not in (None, due.id):
                await senders.wait(connection, due, now + timedelta(seconds=SOON_SECONDS), None)
                return None
            promised = await senders.committed(connection, due.network, due.wallet)
            if any(held[token] < promised.get(token, 0) + n for token, n in needed.items()):
                raise CannotPay(f"{due.wallet} holds less than is under way")
            nonce = locked.next_nonce
            signed = await self._desk.sign(
                self._desk.order(due, intent, nonce=nonce, gas=gas, fees=fees)
            )
            variant = Variant(
                tx_hash=signed.tx_hash,
                kind=INTENT,
                gas=gas,
                max_fee=fees.max_fee,
                priority_fee=fees.priority_fee,
                raw=signed.raw,
                made_at=now,
                handed_at=None,
                outcome=None,
            )
            # Due soon: should this process die now, another one hands the bytes over.
            due_at = now + timedelta(seconds=LOOK_SECONDS)
            await senders.take(connection, due, nonce=nonce, gas=gas, now=now, due_at=due_at)
            await variants.add(connection, due, nonce, variant)
        return replace(due, status=Status.SENT, nonce=nonce, gas=gas), variant

    async def _promise(self, due: Due) -> bool:
        """False when the next nonce is promised to another one: then later."""
        async with self._context.database.begin() as session:
            connection = await raw(session)
            locked = await senders.lock(connection, due)
            if locked.promised not in (None, due.id):
                soon = self._desk.now() + timedelta(seconds=SOON_SECONDS)
                await senders.wait(connection, due, soon, None)
                return False
            await senders.promise(connection, due)
        return True

    async def _know_sender(self, wallet: str) -> None:
        """A wallet that is used for the first time goes on from the chain's count."""
        async with self._context.database.statement() as connection:
            if await senders.next_nonce(connection, self._network.id, wallet) is not None:
                return
        nonce = await broadcast.first_nonce(self._endpoints, wallet)
        async with self._context.database.statement() as connection:
            await senders.begin(connection, self._network.id, wallet, nonce, self._desk.now())

    async def _observe(self) -> None:
        while True:
            try:
                async with self._context.database.statement() as connection:
                    found = await senders.pending(connection, self._network.id)
                for wallet in {*self._turns, *found}:
                    gauge = metrics.TRANSACTIONS_PENDING.labels(self._network.id, wallet)
                    gauge.set(found.get(wallet, 0))
            except DATABASE_AWAY as error:
                log.warning("transactions_pending_unknown", error=type(error).__name__)
            await asyncio.sleep(OBSERVE_SECONDS)


def _approved(due: Due) -> bool:
    """Whether people have signed for it."""
    return any(p.approvals for p in payments_of(read_intent(due.intent)))
