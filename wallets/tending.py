"""Looks after what was sent: finds it, hands it over again, raises its fees, cancels it, or sees
that somebody else used its nonce. What is to be done is `judging`'s; here it is asked and done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from chain import broadcast
from chain.broadcast import PLAIN_TRANSFER_GAS, Look, Presence
from chain.fees import Fees, Market, bump
from core import metrics
from core.db import raw
from core.errors import ChainError, SignerError
from core.ids import show
from core.networks import NATIVE
from ledger.accounts import Role, place
from ledger.breaks import BreakKind, Difference, break_json, open_break
from wallets import senders, variants
from wallets.desk import Desk
from wallets.encoding import read_intent
from wallets.intents import Cancel
from wallets.judging import CANCEL, INTENT, Action, Facts, Judgement, final_block, judge
from wallets.senders import Due
from wallets.tables import Transaction
from wallets.transactions import Observed, Status, own, wake
from wallets.variants import Variant
from webhooks.events import NewEvent, emit

log = structlog.get_logger()

_CURSOR = "select number, finalized from network_cursors where network = %s"


@dataclass(frozen=True, slots=True)
class _Next:
    """The variant that would come next: its kind, gas and fees; fees None: the caps forbid it."""

    kind: str
    gas: int
    fees: Fees | None


class Tending:
    """Of one network's `sent` rows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def tend(self, due: Due) -> None:
        """One look at a row whose time has come, and what follows from it."""
        async with self._desk.context.database.statement() as connection:
            held = await variants.of(connection, due.id)
            known = await (await connection.execute(_CURSOR, (due.network,))).fetchone()
        if not held or due.nonce is None:
            return  # renewed between the claim and now
        newest = held[-1]
        if newest.outcome is None:  # whoever signed it died before it could tell
            await self._desk.hand(due, newest)
            return
        final = final_block(*known) if known is not None else -1
        try:
            look = await broadcast.look(
                self._desk.endpoints, due.wallet, [v.tx_hash for v in held], final
            )
        except ChainError as error:
            log.warning("transaction_unseen", network=due.network, error=str(error))
            await self._desk.wait(due, "chain_unreadable")
            return
        market = await self._desk.market_if_known()
        coming = self._next(due, newest, market)
        facts = self._facts(due, held, look, market, coming)
        if final < 0:
            facts = _without_finality(facts)
        await self._act(due, held, look, coming, judge(facts))

    def _next(self, due: Due, newest: Variant, market: Market | None) -> _Next:
        """A cancel's gas is a plain transfer's, and no payment's cap holds for it."""
        cancels = newest.kind == CANCEL or due.cancel_asked or newest.outcome == "final"
        gas = PLAIN_TRANSFER_GAS if cancels else newest.gas
        kind = CANCEL if cancels else INTENT
        if market is None:
            return _Next(kind, gas, None)
        cap = None if cancels else due.fee_cap
        policy = self._desk.network.fees
        return _Next(
            kind, gas, bump(newest.fees, market, policy, due.urgency, gas=gas, fee_cap=cap)
        )

    def _facts(
        self,
        due: Due,
        held: Sequence[Variant],
        look: Look,
        market: Market | None,
        coming: _Next,
    ) -> Facts:
        newest = held[-1]
        stuck = timedelta(seconds=self._desk.network.fees.stuck_after_seconds)
        return Facts(
            nonce=due.nonce,
            cancel_asked=due.cancel_asked,
            kind=newest.kind,
            outcome=newest.outcome,
            presence=look.presence[newest.tx_hash],
            any_mined=Presence.MINED in look.presence.values(),
            count=look.count,
            final_count=look.final_count,
            outbid=market is not None and market.outbids(newest.fees, due.urgency),
            waited=self._desk.now() - newest.made_at >= stuck,
            can_bump=coming.fees is not None,
        )

    async def _act(
        self, due: Due, held: Sequence[Variant], look: Look, coming: _Next, said: Judgement
    ) -> None:
        if said.action is Action.RESEND:
            await self._desk.hand(due, held[-1])
            if said.reason is not None:
                pause = self._desk.look_after(held[-1], taken=False)
                await self._desk.wait(due, said.reason, seconds=pause.total_seconds())
        elif said.action in (Action.BUMP, Action.CANCEL):
            await self._replace(due, held[-1], coming)
        elif said.action is Action.DISPUTE:
            await self._dispute(due)
        elif said.action is Action.RENEW or said.status is Status.CANCELLED:
            await self._renew(due, said, look.final_count or 0)
        else:
            pause = self._desk.look_after(held[-1], taken=True)
            await self._desk.wait(due, said.reason, seconds=pause.total_seconds())

    async def _replace(self, due: Due, last: Variant, coming: _Next) -> None:
        """Another variant of the same nonce: signed, stored, committed, handed over."""
        assert coming.fees is not None and due.nonce is not None  # noqa: S101, PT018 (judged so)
        now = self._desk.now()
        cancels = coming.kind == CANCEL
        intent = Cancel(id=show("tx", due.order_id)) if cancels else read_intent(due.intent)
        order = self._desk.order(due, intent, nonce=due.nonce, gas=coming.gas, fees=coming.fees)
        try:
            async with self._desk.context.database.begin() as session:
                connection = await raw(session)
                if not await senders.lock_sent(connection, due):
                    return
                if (await variants.of(connection, due.id))[-1].tx_hash != last.tx_hash:
                    return  # another worker was faster
                signed = await self._desk.sign(order)
                variant = Variant(
                    tx_hash=signed.tx_hash,
                    kind=coming.kind,
                    gas=coming.gas,
                    max_fee=coming.fees.max_fee,
                    priority_fee=coming.fees.priority_fee,
                    raw=signed.raw,
                    made_at=now,
                    handed_at=None,
                    outcome=None,
                )
                await variants.add(connection, due, due.nonce, variant)
        except SignerError as error:
            metrics.SIGNER_REFUSALS.labels(error.code).inc()
            await self._desk.wait(due, error.code)
            return
        metrics.TRANSACTION_BUMPS.labels(due.network, "cancel" if cancels else "bump").inc()
        log.info(
            "transaction_replaced", network=due.network, transaction=show("tx", due.id),
            nonce=due.nonce, kind=coming.kind, max_fee=coming.fees.max_fee,
            priority_fee=coming.fees.priority_fee,
        )  # fmt: skip
        await self._desk.hand(due, variant)

    async def _dispute(self, due: Due) -> None:
        """The first look may be a fork in passing, or two nodes behind one address: the second
        one tells a person."""
        if due.reason == "nonce_used":
            await self._tell(due)
        await self._desk.wait(due, "nonce_used")

    async def _tell(self, due: Due) -> None:
        """Opens the Break: a key of ours signs somewhere else."""
        now = self._desk.now()
        async with self._desk.context.database.begin() as session:
            row = await open_break(session, self._difference(due), now)
            if row is not None:
                data = break_json(row, self._desk.context.catalog, now)
                await emit(
                    session, [NewEvent(None, "break.opened", show("brk", row.id), data)], now
                )

    def _difference(self, due: Due) -> Difference:
        token = next(t for t in self._desk.network.tokens if t.address == NATIVE)
        return Difference(
            key=f"foreign_nonce:{due.network}:{due.wallet}:{due.nonce}",
            kind=BreakKind.ORPHAN,
            place=place(due.network, Role.HOT),
            asset=token.asset.symbol,
            facts={
                "network": due.network,
                "wallet": due.wallet,
                "nonce": due.nonce,
                "transaction": show("tx", due.id),
                "reason": "a transaction that is none of ours used this nonce",
            },
        )

    async def _renew(self, due: Due, said: Judgement, count: int) -> None:
        """No variant can ever be mined: a new nonce, or the end where a cancel was asked for."""
        await self._tell(due)
        async with self._desk.context.database.begin() as session:
            done = await senders.renew(
                await raw(session),
                due,
                count=count,
                status=said.status,
                reason=said.reason or "",
                now=self._desk.now(),
            )
            if done and said.status is Status.CANCELLED:
                row = await session.get_one(Transaction, due.id)
                await self._desk.ended(session, Observed(confirmed=(own(row),)))
            await wake(session, due.network)
        log.warning(
            "nonce_used_elsewhere", network=due.network, wallet=due.wallet, nonce=due.nonce,
            transaction=show("tx", due.id),
        )  # fmt: skip


def _without_finality(facts: Facts) -> Facts:
    """Nothing is final on a network that is not followed yet, or younger than its finality."""
    return replace(facts, final_count=None)
