"""The worker's loop of sweeps on one network (CHAIN 2): planned, then sent, one step each.

requested -> (read books and chain, plan) -> approved -> (transactions asked for) -> sending; blocks
tell the rest. A step may be repeated at any moment: what a plan takes is written under a unique
index, and asking for transactions is one database transaction with the sweep's own row.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Endpoints
from chain.fees import Urgency
from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import ChainError
from core.listen import notify
from core.network_rows import NetworkRows
from core.networks import Network, SweepPolicy
from core.singleton import Lost, hold
from core.work import DATABASE_AWAY
from wallets import hot, transactions
from wallets.encoding import plain, read_intent
from wallets.hot import WalletKind
from wallets.sweep_cases import load, rejudge
from wallets.sweep_facts import Status
from wallets.sweep_holdings import Wanted
from wallets.sweep_plan import Skipped
from wallets.sweep_planning import Planning, wanted_of
from wallets.sweep_requests import CHANNEL, POLICY, insert
from wallets.sweep_tables import Sweep
from wallets.transactions import Purpose
from webhooks.events import emit

log = structlog.get_logger()

LEASE_SECONDS = 30
AGAIN_SECONDS = 5

# Due rows, and those of which the last transaction ended without a block: no block tells of that.
_CLAIM = """
with due as (
    select s.id from sweeps s
    where s.network = %(network)s and s.due_at <= %(now)s
        and (s.leased_until is null or s.leased_until <= %(wall)s)
    order by s.due_at, s.id limit %(limit)s for update of s skip locked
), ended as (
    select s.id from sweeps s
    where s.network = %(network)s and s.status = 'sending'
        and (s.leased_until is null or s.leased_until <= %(wall)s)
        and exists (
            select from sweep_items i where i.sweep_id = s.id and i.transaction_id is not null)
        and not exists (
            select from sweep_items i join transactions t on t.id = i.transaction_id
            where i.sweep_id = s.id and t.status not in ('confirmed', 'failed', 'cancelled'))
    order by s.id limit %(limit)s for update of s skip locked
)
update sweeps s set leased_until = %(leased_until)s
from (select id from due union select id from ended limit %(limit)s) as c where s.id = c.id
returning s.id
"""


class Sweeps(NetworkRows):
    """Sweeps of one network; without a policy of its own, on command only."""

    name = "sweeps"
    channel = CHANNEL
    claiming = _CLAIM
    lease_seconds = LEASE_SECONDS

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        *,
        poll_seconds: float = 1.0,
    ) -> None:
        super().__init__(context, network, parallel=2, poll_seconds=poll_seconds)
        self._planning = Planning(context, network, endpoints)

    async def run(self) -> None:
        """Works until cancelled."""
        policy = self._network.sweeps
        looking = asyncio.create_task(self._watch(policy)) if policy else None
        try:
            await super().run()
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    async def step(self, sweep_id: UUID) -> None:
        """Whatever a sweep needs now; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Sweep, sweep_id)
        try:
            if row.status == Status.REQUESTED:
                await self._plan(row)
            elif row.status == Status.APPROVED:
                await self._send(row.id)
            else:
                await self._judge(row.id)
        except ChainError as error:
            log.warning("sweep_waits", network=self._network.id, error=str(error))
            await self._later(row.id, "chain_unreadable")

    async def look(self) -> UUID | None:
        """Asks for a sweep where the policy finds one worth while now. Raises ChainError."""
        wanted = Wanted()
        found = await self._planning.of(wanted, self._network.sweeps)
        if not found.loads:
            return None
        now = self._context.clock.now()
        try:
            async with self._context.database.begin() as session:
                row = await insert(
                    session, self._context, self._network, trigger=POLICY, initiator="",
                    wanted={"addresses": None, "assets": None}, now=now,
                )  # fmt: skip
                return row.id
        except IntegrityError:  # another one of the policy's is not sent yet (sweeps_policy)
            return None

    async def _watch(self, policy: SweepPolicy) -> None:
        """Looks from time to time; one worker of the installation does."""
        while True:
            try:
                async with hold(self._context.database, f"sweeps:{self._network.id}") as lock:
                    while True:
                        await lock.check()
                        await self._look_once()
                        await asyncio.sleep(policy.every_seconds)
            except (Lost, *DATABASE_AWAY) as error:
                log.warning("sweeps_interrupted", error=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _look_once(self) -> None:
        try:
            await self.look()
        except ChainError as error:
            log.warning("sweeps_not_judged", network=self._network.id, error=str(error))

    async def _plan(self, row: Sweep) -> None:
        """Settles what it takes: nobody else can, from the commit on."""
        by_policy = row.trigger == POLICY
        found = await self._planning.of(
            wanted_of(self._network, row.wanted), self._network.sweeps if by_policy else None
        )
        async with self._context.database.begin() as session:
            [case] = await load(session, [row.id])
            fresh = case.row
            fresh.leased_until = None
            if fresh.status != Status.REQUESTED:
                return
            now = self._context.clock.now()
            loads, skipped = await self._planning.reserve(session, fresh, found)
            factory = self._network.factory or ""
            number = ids.show("swp", fresh.id)
            fresh.loads = [
                {
                    "intent": plain(one.intent(number, factory)),
                    "gas": one.least_gas,
                    "fee_cap": found.per_gas and str(found.per_gas * one.least_gas),
                }
                for one in loads
            ]
            fresh.skipped = [_skipped(one) for one in skipped]
            fresh.due_at = now if loads else None
            await session.flush()
            [case] = await load(session, [row.id])
            await emit(session, await rejudge(session, self._context, [case], now), now)
            await _wake(session, self._network)

    async def _send(self, sweep_id: UUID) -> None:
        """Asks for its transactions, all in one database transaction."""
        async with self._context.database.begin() as session:
            [case] = await load(session, [sweep_id])
            row, now = case.row, self._context.clock.now()
            row.leased_until = None
            if row.status != Status.APPROVED:
                return
            wallet = await wallet_for(session)
            if wallet is None:
                row.due_at = now + timedelta(seconds=AGAIN_SECONDS)
                await rejudge(session, self._context, [case], now, waits="no_wallet")
                return
            mine = {(i.salt, i.token): i for i in case.items}
            for one in row.loads or []:
                number = await transactions.prepare(
                    session,
                    self._context,
                    network=self._network.id,
                    wallet=wallet,
                    purpose=Purpose.SWEEP,
                    intent=read_intent(one["intent"]),
                    reference=ids.show("swp", row.id),
                    urgency=Urgency.SLOW,
                    fee_cap=one["fee_cap"] and int(one["fee_cap"]),
                    least_gas=one["gas"],
                    now=now,
                )
                for salt, token in _carried(one["intent"]):
                    mine[salt, token].transaction_id = number
            row.due_at = None
            await session.flush()
            [case] = await load(session, [sweep_id])
            await emit(session, await rejudge(session, self._context, [case], now), now)

    async def _judge(self, sweep_id: UUID) -> None:
        async with self._context.database.begin() as session:
            [case] = await load(session, [sweep_id])
            case.row.leased_until = case.row.due_at = None
            now = self._context.clock.now()
            await emit(session, await rejudge(session, self._context, [case], now), now)

    async def _later(self, sweep_id: UUID, reason: str) -> None:
        due_at = self._context.clock.now() + timedelta(seconds=AGAIN_SECONDS)
        async with self._context.database.begin() as session:
            await session.execute(
                update(Sweep)
                .where(Sweep.id == sweep_id)
                .values(due_at=due_at, leased_until=None, reasons=[reason])
            )


async def wallet_for(session: AsyncSession) -> str | None:
    """Who pays the gas: the relayer, which holds little, else a hot wallet."""
    listed = await hot.known(session)
    for kind in (WalletKind.RELAYER, WalletKind.HOT):
        for wallet in listed:
            if wallet.kind == kind:
                return wallet.address
    return None


def _skipped(one: Skipped) -> dict[str, Any]:
    return {
        "address": one.holding.address,
        "token": one.holding.token,
        "reason": one.reason.value,
        "retry_at": show_time(one.retry_at) if one.retry_at else None,
    }


def _carried(intent: dict[str, Any]) -> list[tuple[str, str]]:
    """(salt, token) of all that a stored intent takes."""
    if intent["type"] == "sweep_known":
        return [(one["salt"], intent["token"]) for one in intent["known"]]
    return [(salt, batch["token"]) for batch in intent["batches"] for salt in batch["salts"]]


async def _wake(session: AsyncSession, network: Network) -> None:
    await notify(session, CHANNEL, network.id)
