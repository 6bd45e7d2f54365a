"""From approved to a transaction: the hot wallet's funds are looked at, payouts are gathered.

Writing the transaction and the payouts' `sending` is one database transaction: none is asked for
twice. The payouts of a batch wait until all of them are judged, and go together where that is
cheaper (payout_fees.goes_together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chain.fees import Urgency
from core import ids
from core.context import Context
from core.networks import NATIVE, Network
from core.singleton import lock_number
from ledger.accounts import Role, place
from payments.payout_approvals import payments_now
from payments.payout_cases import Changes, rejudge, rejudge_all
from payments.payout_decisions import dry_run, wallet_for
from payments.payout_facts import Status
from payments.payout_fees import goes_together
from payments.payout_tables import Payout, PayoutBatch
from wallets.intents import Allowance, Intent, Payment
from wallets.intents import Payout as PayoutIntent
from wallets.intents import PayoutBatch as BatchIntent
from wallets.signer.client import Signer
from wallets.transactions import Purpose

TOGETHER = 150  # payments of one transaction: EIP-7825 allows it 16.7 million gas
# Gas that is given to each, whatever an estimate says: a payment that fails in it looks cheap.
LEAST_GAS = {True: 45_000, False: 100_000}
WAIT_SECONDS = 2  # for an allowance to be mined, or a wallet to be there
SHORT_SECONDS = 15  # until funds are looked at again
WHOLE = 2**256 - 1

# What stands in the hot wallets by the books, less what is on its way and its gas at its dearest.
_FREE = text("""
select
    coalesce((select balance from account_balances where account = :place and asset = :asset), 0)
    - coalesce((select sum(amount) from payouts
        where status = 'sending' and outcome is null and network = :network and asset = :asset), 0),
    coalesce((select balance from account_balances where account = :place and asset = :coin), 0)
    - coalesce((select sum(amount) from payouts
        where status = 'sending' and outcome is null and network = :network and asset = :coin), 0)
    - coalesce((select sum((fee_quote ->> 'wei')::numeric) from payouts
        where status = 'sending' and outcome is null and network = :network), 0)
""")
_ALLOWED = text("""
select status from transactions
where network = :network and wallet = :wallet and purpose = 'allowance'
    and intent ->> 'token' = :token and intent ->> 'spender' = :spender
    and status in ('prepared', 'sent', 'mined', 'confirmed')
order by id desc limit 1
""")


class Prepare(Protocol):
    """wallets.transactions.prepare."""

    async def __call__(
        self,
        session: AsyncSession,
        context: Context,
        *,
        network: str,
        wallet: str,
        purpose: Purpose,
        intent: Intent,
        reference: str,
        urgency: Urgency = ...,
        fee_cap: int | None = ...,
        least_gas: int | None = ...,
        now: datetime,
    ) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """Where transactions are asked for, and who is asked before several leave in one."""

    context: Context
    signer: Signer
    prepare: Prepare

    async def send(
        self, session: AsyncSession, rows: Sequence[Payout], changes: Changes, *, together: bool
    ) -> None:
        """Locked, approved payouts of one asset as far as funds go: all in one transaction where
        they may go `together` and that is cheaper, or each in its own."""
        network = self.context.catalog.networks[rows[0].network]
        wallet = await wallet_for(session)
        for row in rows:
            row.due_at = changes.now + timedelta(seconds=WAIT_SECONDS)
        if wallet is None:
            return
        fit = await _affordable(session, network, rows, changes)
        token = network.by_address()[rows[0].token]
        together = together and goes_together(network, token, len(fit))
        by_allowance = together and not token.is_native
        if by_allowance and not await self._may_spend(
            session, network, wallet, token.address, changes.now
        ):
            return
        payments = await payments_now(session, fit, changes.now) if fit else {}
        fit = [row for row in fit if row.id in payments]  # others end when they are judged next
        size = max(1, len(fit)) if together else 1
        for at in range(0, len(fit), size):
            some = fit[at : at + size]
            of = tuple(payments[row.id] for row in some)
            await self._prepare(session, network, wallet, some, of, changes)

    async def allowed_together(self, rows: Sequence[Payout]) -> bool:
        """Whether these go as one and the signer would sign that: it may be too much."""
        if not rows:
            return False
        network = self.context.catalog.networks[rows[0].network]
        if not goes_together(network, network.by_address()[rows[0].token], len(rows)):
            return False
        async with self.context.database.read() as session:
            wallet = await wallet_for(session)
            found = await payments_now(session, rows, self.context.clock.now())
        payments = tuple(found[row.id] for row in rows if row.id in found)
        if wallet is None or not payments:
            return False
        intent = BatchIntent(multisend=network.multisend or "", payments=payments)
        word = await self.signer.check(dry_run(network, wallet, rows[0], intent, payments))
        return word.allowed

    async def _prepare(
        self,
        session: AsyncSession,
        network: Network,
        wallet: str,
        rows: Sequence[Payout],
        payments: tuple[Payment, ...],
        changes: Changes,
    ) -> None:
        intent: Intent = PayoutIntent(payment=payments[0])
        purpose, reference = Purpose.PAYOUT, ids.show("pay", rows[0].id)
        least_gas = None
        if len(rows) > 1 and rows[0].batch_id is not None:
            intent = BatchIntent(multisend=network.multisend or "", payments=payments)
            purpose, reference = Purpose.PAYOUT_BATCH, ids.show("bat", rows[0].batch_id)
            least_gas = 50_000 + len(rows) * LEAST_GAS[rows[0].token == NATIVE]
        transaction_id = await self.prepare(
            session,
            self.context,
            network=network.id,
            wallet=wallet,
            purpose=purpose,
            intent=intent,
            reference=reference,
            fee_cap=sum(row.fee_cap for row in rows),
            least_gas=least_gas,
            now=changes.now,
        )
        for row in rows:
            row.transaction_id, row.hot_short, row.due_at = transaction_id, False, None
        rejudge_all(rows, changes)

    async def _may_spend(
        self,
        session: AsyncSession,
        network: Network,
        wallet: str,
        token: str,
        now: datetime,
    ) -> bool:
        """Tokens leave together by an allowance for our Multisend, given once per wallet."""
        spender = network.multisend or ""
        asked = {"network": network.id, "wallet": wallet, "token": token, "spender": spender}
        status = await session.scalar(_ALLOWED, asked)
        if status is None:
            number = ids.new()
            reference = ids.show("alw", number)
            await self.prepare(
                session,
                self.context,
                network=network.id,
                wallet=wallet,
                purpose=Purpose.ALLOWANCE,
                intent=Allowance(id=reference, token=token, spender=spender, amount=WHOLE),
                reference=reference,
                now=now,
            )
        return status in ("mined", "confirmed")


# One of each asset: it takes the others with it.
_WAKE = text("""
update payouts set due_at = :now where due_at is null and id in (
    select distinct on (network, token) id from payouts
    where batch_id = :batch and status = 'approved' and transaction_id is null
    order by network, token, id
) and not exists (select from payouts where batch_id = :batch and status = 'requested')
""")


def joins(row: Payout, network: Network) -> bool:
    """Whether it waits for others of its batch, to leave with them where they are enough."""
    token = network.by_address().get(row.token)
    may = token is not None and goes_together(network, token, TOGETHER)
    return row.batch_id is not None and may


async def wake_batch(session: AsyncSession, batch_id: UUID, now: datetime) -> None:
    """The last of a batch to be judged sends all that were approved."""
    await session.execute(_WAKE, {"now": now, "batch": batch_id})


async def gather(session: AsyncSession, row: Payout) -> Sequence[Payout]:
    """Approved payouts of the same batch and asset that may leave in one transaction, in order.

    None of them while others of the batch have not been judged: the last one judged wakes them
    all. The caller holds the batch's row (`lock_batch`).
    """
    of_batch = Payout.batch_id == row.batch_id
    waiting = select(Payout.id).where(of_batch, Payout.status == Status.REQUESTED).limit(1)
    if await session.scalar(waiting) is not None:
        return []
    query = select(Payout).where(
        of_batch,
        Payout.status == Status.APPROVED,
        Payout.transaction_id.is_(None),
        Payout.network == row.network,
        Payout.token == row.token,
    )
    return (await session.scalars(query.order_by(Payout.id).limit(TOGETHER))).all()


async def lock_batch(session: AsyncSession, batch_id: UUID) -> None:
    """Before any of its payouts is locked: two that judge in one batch wait for each other here."""
    await session.get_one(PayoutBatch, batch_id, with_for_update=True)


async def _affordable(
    session: AsyncSession, network: Network, rows: Sequence[Payout], changes: Changes
) -> list[Payout]:
    """Those that the hot wallet can pay by the books; the others stay approved, told once.

    Whoever looks holds a lock until the commit, so that two do not count on the same money.
    """
    await session.flush()  # what this transaction sent already counts
    number = lock_number(f"hot:{network.id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    coin = network.tokens[0].asset.symbol
    account = place(network.id, Role.HOT)
    asked = {"place": account, "network": network.id, "asset": rows[0].asset, "coin": coin}
    units, wei = (await session.execute(_FREE, asked)).one()
    fits: list[Payout] = []
    for row in rows:
        gas = int(row.fee_quote["wei"])
        takes = row.amount + gas if row.asset == coin else gas
        if row.amount <= units and takes <= wei:
            units, wei = units - row.amount, wei - takes
            fits.append(row)
        else:
            row.hot_short = True
            row.due_at = changes.now + timedelta(seconds=SHORT_SECONDS)
            rejudge(row, changes)
    return fits
