"""May a payout leave? Screening, policies and the signer are asked, each for its own answer.

The signer is asked with no transaction open: read, ask, write what all of them said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from payments.payout_facts import ALLOWED, BACK
from payments.payout_fees import gas_of
from payments.payout_tables import Approval, Payout, Refund
from risk import addressbook, policies, screening
from risk.rules import AddressKind, Decision, Initiator, Request
from risk.tables import AddressBookEntry, Screening
from wallets import hot
from wallets.hot import WalletKind
from wallets.intents import Intent, Order, Payment
from wallets.intents import Payout as PayoutIntent
from wallets.signer.client import Signer, Verdict

UNUSED_NONCE = 2**62  # a dry run stands in nobody's way
PATIENCE = timedelta(seconds=5)
FRESH = timedelta(minutes=1)  # a verdict that came a moment ago needs no second look
LATE = "nobody approved it in time"
UNREADABLE = "approval_unreadable"  # stands where the signer's word does: it cannot be asked
_NOT_ASKED = Verdict(allowed=False, needed=0, approvers=(), code=UNREADABLE, detail="")


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a payout: it needs `needed` signatures of `approvers`."""

    screening: str
    policy: str
    rule: str | None
    signer: str
    needed: int
    approvers: tuple[str, ...]


async def screened(context: Context, payout_ids: Sequence[UUID]) -> dict[UUID, str | None]:
    """Screening's word about each destination; None where a source outside was asked a moment ago
    and may answer yet: that it waits for one is no news for a while."""
    async with context.database.begin() as session:
        rows = await _rows(session, payout_ids)
        query = select(Screening).where(
            Screening.subject == screening.PAYOUT, Screening.subject_id.in_(payout_ids)
        )
        known = {one.subject_id: one for one in await session.scalars(query)}
        now = context.clock.now()
        born = {number: one.created_at for number, one in known.items()}
        fresh = {
            number: one.verdict
            for number, one in known.items()
            if one.status == "done" and now - one.updated_at < FRESH
        }
        asked = [_asked(row) for row in rows if row.id not in fresh]
        said = await screening.screen(session, context, asked, now)
    words = {n: _word(verdict, now - born.get(n, now)) for n, verdict in said.items()}
    return {row.id: fresh.get(row.id) or words[row.id] for row in rows}


def _asked(row: Payout) -> screening.NewPayout:
    return screening.NewPayout(
        id=row.id, merchant_id=row.merchant_id, network=row.network, address=row.address
    )


def _word(verdict: screening.Verdict, age: timedelta) -> str | None:
    unanswered = set(verdict.reasons) == {"screening_unanswered"}
    return None if unanswered and age < PATIENCE else verdict.outcome.value


async def ask(context: Context, signer: Signer, verdicts: Mapping[UUID, str]) -> dict[UUID, Said]:
    """Asks policies and the signer about payouts, with screening's word about each. Empty while
    there is no wallet that they could leave from.

    Raises SignerAway, Unavailable.
    """
    async with context.database.begin() as session:
        rows = await _rows(session, list(verdicts))
        now = context.clock.now()
        payments = await payout_approvals.payments_now(session, rows, now)
        wallet = await wallet_for(session)
        requests = await requests_of(session, rows)
        decisions = await policies.admit_all(session, context, requests)  # last: others wait
    if wallet is None:
        return {}
    networks = context.catalog.networks
    said = {}
    for row, decision in zip(rows, decisions, strict=True):  # in turn: the signer has but one pen
        word, payment = _NOT_ASKED, payments.get(row.id)
        if payment is not None:
            intent = PayoutIntent(payment=payment)
            word = await signer.check(dry_run(networks[row.network], wallet, row, intent))
        said[row.id] = _said(verdicts[row.id], decision, word)
    return said


def _said(verdict: str, decision: Decision, word: Verdict) -> Said:
    return Said(
        screening=verdict,
        policy=decision.effect.value,
        rule=decision.rule,
        signer=ALLOWED if word.allowed else word.code or "refused",
        needed=max(decision.needed, word.needed),
        approvers=approvers(decision, word),
    )


async def _rows(session: AsyncSession, payout_ids: Sequence[UUID]) -> Sequence[Payout]:
    query = select(Payout).where(Payout.id.in_(payout_ids)).order_by(Payout.id)
    return (await session.scalars(query)).all()


async def apply(
    session: AsyncSession,
    context: Context,
    row: Payout,
    approval: Approval | None,
    said: Said,
    changes: Changes,
) -> Approval | None:
    """Writes what was said into a locked row, and asks people where they are needed: returns the
    approval that it waits for, or waited for."""
    row.screening, row.policy, row.rule = said.screening, said.policy, said.rule
    row.signer = said.signer
    if approval is not None:
        # Approvers saw how many are needed; the signer counts what it needs itself.
        row.needed = max(said.needed, approval.needed)
        if approval.expires_at <= changes.now and row.given < row.needed:
            row.rejected = LATE
            await payout_approvals.withdraw(session, row.id, "expired")
    else:
        row.needed = said.needed
    rejudge(row, changes)
    if row.status in BACK:
        await payout_approvals.withdraw(session, row.id)
    if approval is None and "approval_needed" in row.reasons:
        return await payout_approvals.ask(session, context, row, said.approvers, changes.now)
    return approval


async def requests_of(session: AsyncSession, rows: Sequence[Payout]) -> list[Request]:
    """Payouts as policies see them."""
    book = await addressbook.entries(
        session, {row.merchant_id for row in rows}, {row.address for row in rows}
    )
    query = select(Refund.payout_id, Refund.asked_by).where(
        Refund.payout_id.in_([row.id for row in rows])
    )
    refunds: dict[UUID | None, str] = {one[0]: one[1] for one in await session.execute(query)}
    return [_request(row, book, refunds.get(row.id)) for row in rows]


def initiator_of(source: str, refund: str | None = None) -> Initiator:
    """Who asks for what `source`, a ledger account, pays. A merchant's key carries every request,
    so it tells nothing. refund: who asked for the one that it carries out; None: it is none. Money
    that a person sends back out of a wallet is no customer's withdrawal."""
    if refund is not None:
        return Initiator.CUSTOMER if refund == "customer" else Initiator.KEY
    return Initiator.CUSTOMER if source.startswith("wallet:") else Initiator.KEY


def _request(row: Payout, book: Sequence[AddressBookEntry], refund: str | None) -> Request:
    entry = addressbook.usable(book, row.merchant_id, row.network, row.address, row.created_at)
    return Request(
        reference=ids.show("pay", row.id),
        merchant_id=row.merchant_id,
        key_id=ids.read("key", row.initiator),
        initiator=initiator_of(row.source, refund),
        network=row.network,
        asset=row.asset,
        address=row.address,
        amount=row.amount,
        house_value=row.house_value,
        known=entry is not None,
        group=entry.group if entry else None,
        address_kind=AddressKind(row.address_kind) if row.address_kind else None,
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
