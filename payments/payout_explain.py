"""What would become of a payout: the same questions as for a real one, and nothing remembered."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.addresses import checksum
from core.context import Context
from core.errors import Conflict
from core.money import Asset
from ledger.accounts import Debt, merchant, wallet
from payments import bank_payouts, customer_wallets, payout_kinds, wallet_limits
from payments.payout_decisions import initiator_of
from payments.payout_facts import ALLOWED, BANK, COOLING, Judgement, PayoutFact, judge
from payments.payout_requests import NewPayout, ground, read, read_on_chain
from payments.payout_wanted import BankWanted, Wanted
from payments.wallet_tables import Wallet
from risk import addressbook, policies, screening
from risk.rules import Decision, Request
from risk.verdicts import Outcome

NOT_ASKED = "not_asked"


async def explain(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    key_id: UUID,
    request: NewPayout,
    wallet_id: UUID | None = None,
) -> dict[str, Any]:
    """A dry run, in a session that the caller rolls back. The signer is not asked, and the answer
    says so: its limits may still want approvals, or refuse. wallet_id: of a customer's wallet that
    is to pay. Raises as a request does, but not for want of funds or for a wallet's limits;
    NotFound without such a wallet."""
    paying = None
    if wallet_id is not None:
        paying = await customer_wallets.find(session, wallet_id, merchant_id)
    on = await ground(session, context, merchant_id, [request.address], [request.bank_account])
    if paying is not None:
        one: Wanted | BankWanted = read_on_chain(on, request)
    else:
        one = read(on, request)
    if isinstance(one, BankWanted):
        return await _at_bank(session, context, key_id, one, on.now)
    asset = one.token.asset
    whose = merchant(merchant_id, Debt.AVAILABLE)
    source = wallet(paying.id, Debt.AVAILABLE) if paying else whose
    entry = await addressbook.lookup(session, merchant_id, one.network.id, one.address, on.now)
    kind = await payout_kinds.last_known(session, merchant_id, one.network.id, one.address)
    wish = Request(
        reference="",
        merchant_id=merchant_id,
        key_id=key_id,
        initiator=initiator_of(source),
        network=one.network.id,
        asset=asset.symbol,
        address=one.address,
        amount=one.amount,
        house_value=one.house_value,
        known=entry is not None,
        group=entry.group if entry else None,
        address_kind=kind,
        at=on.now,
    )
    decision = await policies.judge(session, context, wish)
    asked = screening.NewPayout(
        id=ids.new(), merchant_id=merchant_id, network=one.network.id, address=one.address
    )
    verdict = (await screening.screen(session, context, [asked], on.now))[asked.id]
    answer = judge(
        PayoutFact(
            screening=verdict.outcome,
            policy=decision.effect,
            signer=ALLOWED,
            needed=decision.needed,
        )
    )
    needed = one.amount + (0 if one.fee_paid_by == "house" else one.quote.units)
    return await _shown(session, source, asset, one.amount, needed, answer, decision) | {
        "network": one.network.id,
        "network_fee": asset.format(one.quote.units),
        "fee_paid_by": one.fee_paid_by,
        "address": checksum(one.address),
        "address_kind": kind or "unknown",
        "wallet": ids.show("wal", paying.id) if paying is not None else None,
        "limits": paying and await _limits(session, context, paying, asset, one.amount, on.now),
        "screening": {"verdict": verdict.outcome.value, "reasons": list(verdict.reasons)},
        "signer": NOT_ASKED,
        "known_destination": entry is not None,
    }


async def _at_bank(
    session: AsyncSession, context: Context, key_id: UUID, one: BankWanted, now: datetime
) -> dict[str, Any]:
    account, asset = one.account, one.asset
    cooling = account.usable_at > now
    wish = bank_payouts.request_of(
        account,
        reference="",
        initiator=ids.show("key", key_id),
        network=BANK,
        amount=one.amount,
        house_value=one.house_value,
        at=now,
        known=not cooling,
    )
    decision = await policies.judge(session, context, wish)
    answer = judge(
        PayoutFact(
            screening=Outcome.ACCEPT,
            policy=decision.effect,
            signer=COOLING if cooling else ALLOWED,
            needed=max(1, decision.needed),
        )
    )
    source = merchant(account.merchant_id, Debt.AVAILABLE)
    return await _shown(session, source, asset, one.amount, one.amount, answer, decision) | {
        "fee_paid_by": "house",
        "bank_account": ids.show("bnk", account.id),
        "known_destination": not cooling,
    }


async def _shown(
    session: AsyncSession,
    source: str,
    asset: Asset,
    amount: int,
    needed: int,
    answer: Judgement,
    decision: Decision,
) -> dict[str, Any]:
    """What both kinds show: the judgement, and what `source` would have to give. Null stands for
    what only one of them has."""
    has = await _balance(session, source, asset.symbol)
    return {
        "object": "payout_explanation",
        "status": answer.status.value,
        "reasons": list(answer.reasons),
        "amount": asset.format(amount),
        "asset": asset.symbol,
        "network": None,
        "network_fee": asset.format(0),
        "address": None,
        "address_kind": None,
        "bank_account": None,
        "funds": {
            "needed": asset.format(needed),
            "available": asset.format(has),
            "enough": has >= needed,
        },
        "wallet": None,
        "limits": None,
        "policy": decision.json(),
        "signer": None,
        "screening": {"verdict": Outcome.ACCEPT.value, "reasons": []},
    }


async def _limits(
    session: AsyncSession, context: Context, paying: Wallet, asset: Asset, units: int, now: datetime
) -> dict[str, Any]:
    """What may leave the wallet, and whether this may; null: as much as there is."""
    left = await wallet_limits.left(session, paying.id, asset.symbol, now)
    reason: str | None = None
    try:
        await wallet_limits.check(session, context.catalog, paying, asset.symbol, units, now)
    except Conflict as error:
        reason = error.detail
    shown = [None if one is None else asset.format(one) for one in left]
    return {
        "per_transfer": shown[0],
        "left_today": shown[1],
        "allowed": reason is None,
        "reason": reason,
    }


async def _balance(session: AsyncSession, account: str, asset: str) -> int:
    query = text("select balance from account_balances where account = :a and asset = :s")
    return -int(await session.scalar(query, {"a": account, "s": asset}) or 0)
