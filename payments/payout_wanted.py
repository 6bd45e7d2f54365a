"""Payouts that may be asked for, all of them checked, and the rows they become."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core import ids
from core.money import Asset
from core.networks import Network, Token
from payments.payout_facts import BANK, Status
from payments.payout_fees import FeeQuote
from payments.payout_tables import MerchantBankAccount, Payout


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Crypto, to an address in lower case."""

    network: Network
    token: Token
    amount: int
    address: str
    reference: str | None
    quote: FeeQuote
    fee_paid_by: str
    house_value: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankWanted:
    """Fiat, to a merchant's bank account: without a fee."""

    asset: Asset
    amount: int
    account: MerchantBankAccount
    reference: str | None
    house_value: int | None


def payout(
    one: Wanted | BankWanted, merchant_id: UUID, source: str, initiator: str, now: datetime
) -> Payout:
    """A new row, due at once. source: the ledger account that pays."""
    return Payout(
        id=ids.new(),
        merchant_id=merchant_id,
        status=Status.REQUESTED.value,
        reasons=[],
        source=source,
        amount=one.amount,
        house_value=one.house_value,
        reference=one.reference,
        initiator=initiator,
        needed=0,
        given=0,
        overdrawn=False,
        hot_short=False,
        final=False,
        generation=0,
        created_at=now,
        due_at=now,
        **(_at_bank(one) if isinstance(one, BankWanted) else _on_chain(one)),
    )


def _on_chain(one: Wanted) -> dict[str, Any]:
    return {
        "network": one.network.id,
        "asset": one.token.asset.symbol,
        "token": one.token.address,
        "fee": one.quote.units,
        "fee_paid_by": one.fee_paid_by,
        "fee_quote": one.quote.evidence,
        "fee_cap": one.quote.cap,
        "address": one.address,
    }


def _at_bank(one: BankWanted) -> dict[str, Any]:
    return {
        "network": BANK,
        "asset": one.asset.symbol,
        "token": "",
        "fee": 0,
        "fee_paid_by": "house",
        "fee_quote": {},
        "fee_cap": 0,
        "address": one.account.iban,
        "bank_account_id": one.account.id,
    }
