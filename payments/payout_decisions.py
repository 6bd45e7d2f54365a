"""May a payout leave? Screening, policies and the signer are asked, each for its own answer.

The signer is asked with no transaction open: read, ask, write what all of them said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.networks import Network
from payments import payout_approvals
from payments.payout_cases import Changes, rejudge
from payments.payout_facts import ALLOWED
from payments.payout_fees import gas_of
from payments.payout_tables import Payout
from risk import addressbook, policies, screening
from risk.rules import Decision, Initiator, Request
from risk.tables import Screening
from wallets import hot
from wallets.hot import WalletKind
from wallets.intents import Intent, Order, Payment
from wallets.intents import Payout as PayoutIntent
from wallets.signer.client import Signer, Verdict

UNUSED_NONCE = 2**62  # a dry run stands in nobody's way
PATIENCE = timedelta(seconds=5)
FRESH = timedelta(minutes=1)  # a verdict that came a moment ago needs no second look
LATE = "nobody approved it in time"


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a payout: it needs `needed` signatures of `approvers`."""

    screening: str
    policy: str
    rule: str | None
    signer: str
    needed: int
    approvers: tuple[str, ...]


async def screened(context: Context, payout_id: UUID) -> str | None:
    """Screening's word about the destination; None where a source outside was asked a moment ago
    and may answer yet: that it waits for one is no news for a while."""
    async with context.database.begin() as session:
        row = await session.get_one(Payout, payout_id)
        now = context.clock.now()
        known = await session.scalar(
            select(Screening).where(
                Screening.subject == screening.PAYOUT, Screening.subject_id == payout_id
            )
        )
        if known is not None and known.status == "done" and now - known.updated_at < FRESH:
            return known.verdict
        verdict = await screening.screen(
            session,
            context,
            subject=screening.PAYOUT,
            subject_id=row.id,
            network=row.network,
            address=row.address,
            now=now,
            merchant_id=row.merchant_id,
        )
        asked = set(verdict.reasons) == {"screening_unanswered"}
        young = now - row.created_at < PATIENCE
        return None if asked and young else verdict.outcome.value


async def ask(context: Context, signer: Signer, payout_id: UUID, screening_: str) -> Said | None:
    """Asks policies and the signer; None while there is no wallet that it could leave from.

    Raises SignerAway, Unavailable.
    """
    async with context.database.begin() as session:
        row = await session.get_one(Payout, payout_id)
        now = context.clock.now()
        [payment] = await payout_approvals.payments_now(session, [row], now)
        wallet = await wallet_for(session)
        request = await request_of(session, row)
        decision = await policies.admit(session, context, request)  # last: others wait for it
    if wallet is None:
        return None
    network = context.catalog.networks[row.network]
    word = await signer.check(dry_run(network, wallet, row, PayoutIntent(payment=payment)))
    return Said(
        screening=screening_,
        policy=decision.effect.value,
        rule=decision.rule,
        signer=ALLOWED if word.allowed else word.code or "refused",
        needed=max(decision.needed, word.needed),
        approvers=approvers(decision, word),
    )


async def apply(
    session: AsyncSession, context: Context, row: Payout, said: Said, changes: Changes
) -> None:
    """Writes what was said into a locked row, and asks people where they are needed."""
    row.screening, row.policy, row.rule = said.screening, said.policy, said.rule
    row.signer = said.signer
    approval = await payout_approvals.current(session, row.id)
    if approval is not None:
        # Approvers saw how many are needed; the signer counts what it needs itself.
        row.needed = max(said.needed, approval.needed)
        if approval.expires_at <= changes.now and row.given < row.needed:
            row.rejected = LATE
            await payout_approvals.withdraw(session, row.id, "expired")
    else:
        row.needed = said.needed
    rejudge(row, changes)
    if approval is None and "approval_needed" in row.reasons:
        await payout_approvals.ask(session, context, row, said.approvers, changes.now)


async def request_of(session: AsyncSession, row: Payout) -> Request:
    """A payout as policies see it."""
    entry = await addressbook.lookup(
        session, row.merchant_id, row.network, row.address, row.created_at
    )
    return Request(
        reference=ids.show("pay", row.id),
        merchant_id=row.merchant_id,
        key_id=ids.read("key", row.initiator),
        initiator=Initiator.KEY if row.initiator else Initiator.CUSTOMER,
        network=row.network,
        asset=row.asset,
        address=row.address,
        amount=row.amount,
        house_value=row.house_value,
        known=entry is not None,
        group=entry.group if entry else None,
        at=row.created_at,
    )


async def wallet_for(session: AsyncSession) -> str | None:
    """The wallet that payouts leave from now: the oldest hot one that is in use."""
    known = await hot.known(session)
    return next((w.address for w in known if w.kind == WalletKind.HOT), None)


def dry_run(
    network: Network, wallet: str, row: Payout, intent: Intent, payments: Sequence[Payment] = ()
) -> Order:
    """An order that asks for no more than `row`'s fee cap (times the payments it stands for)."""
    token = network.by_address()[row.token]
    gas = gas_of(token, 1) * max(1, len(payments))
    return Order(
        id=ids.show("tx", row.id),
        network=network.id,
        chain_id=network.chain_id,
        wallet=wallet,
        nonce=UNUSED_NONCE,
        gas=gas,
        max_fee=max(1, int(row.fee_quote["wei"]) // int(row.fee_quote["gas"])),
        priority_fee=0,
        intent=intent,
    )


def approvers(decision: Decision, word: Verdict) -> tuple[str, ...]:
    """A policy may name fewer than the signer does, never others."""
    if not decision.approvers:
        return word.approvers
    return tuple(a for a in decision.approvers if a in word.approvers)
