"""What lines of a bank account may be: moves to it, payouts that it was asked for, and those that
come back."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from ledger.accounts import bank, transit
from ledger.tables import AccountBalance
from payments import bank_payouts
from payments.payout_facts import Status
from payments.payout_tables import Payout
from treasury.bank_matching import Claim, plain
from treasury.bank_tables import BankExport, BankLine
from treasury.move_machine import Way
from treasury.move_tables import Move

_NAME = re.compile(r"(?=pay([0-9a-z]{26}))")  # wherever one begins, whatever stands before it


async def every(
    session: AsyncSession, context: Context, account: str, asset: str, named: Collection[str]
) -> list[Claim]:
    """What a person may say that a line of an account is, which is in `asset`; of what was paid
    those that are named."""
    return [
        *await moves(session, account),
        *await payouts(session, account, asset),
        *await returned(session, context, asset, named),
    ]


async def moves(session: AsyncSession, account: str) -> list[Claim]:
    """What the books have in transit to an account."""
    query = select(Move).where(
        Move.way == Way.REMIT, Move.destination == bank(account), Move.finished_at.is_(None)
    )
    rows = {transit(row.id): row for row in await session.scalars(query)}
    balances = select(AccountBalance).where(
        AccountBalance.account.in_(rows), AccountBalance.balance > 0
    )
    found: list[Claim] = []
    for left in await session.scalars(balances.execution_options(populate_existing=True)):
        row = rows[left.account]
        if left.asset == row.asset:
            reference = ids.show("mov", row.id)
            claim = Claim(reference=reference, amount=left.balance, on=row.created_at.date())
            found.append(claim)
    return found


async def payouts(session: AsyncSession, account: str, asset: str) -> list[Claim]:
    """Those that a file asked this account's bank for; and, by name alone, released ones that no
    file holds yet: somebody may have typed them in at the bank."""
    query = (
        select(Payout.id, Payout.amount, Payout.created_at, BankExport.created_at)
        .outerjoin(BankExport, BankExport.id == Payout.bank_export_id)
        .where(
            Payout.bank_account_id.is_not(None),
            Payout.asset == asset,
            Payout.status.in_(bank_payouts.UNDER_WAY),
            or_(BankExport.account == account, BankExport.id.is_(None)),
        )
    )
    return [
        Claim(
            reference=ids.show("pay", number),
            amount=-amount,
            on=(ordered_at or asked_at).date(),
            by_name=ordered_at is None,
        )
        for number, amount, asked_at, ordered_at in await session.execute(query)
    ]


async def returned(
    session: AsyncSession, context: Context, asset: str, texts: Collection[str]
) -> list[Claim]:
    """Paid ones that these texts name: a credit with their name brings them back."""
    bodies = {body for text in texts for body in _NAME.findall(plain(text))}
    numbers = [number for body in bodies if (number := ids.read("pay", f"pay_{body}"))]
    since = context.clock.now() - bank_payouts.RETURNABLE
    query = select(Payout.id, Payout.amount, Payout.created_at).where(
        Payout.id.in_(numbers),
        Payout.bank_account_id.is_not(None),
        Payout.asset == asset,
        Payout.status == Status.PAID,
        Payout.finished_at > since,
    )
    return [
        Claim(reference=ids.show("pay", number), amount=amount, on=at.date(), by_name=True)
        for number, amount, at in await session.execute(query)
    ]


async def pay(
    session: AsyncSession,
    context: Context,
    found: Collection[tuple[Sequence[BankLine], Sequence[Claim]]],
) -> None:
    """Payouts among what lines were found to be: paid by a line out, back by a line in."""
    paid: list[UUID] = []
    back: list[UUID] = []
    evidence: dict[UUID, dict[str, Any]] = {}
    for lines, claims in found:
        for claim in claims:
            number = ids.read("pay", claim.reference)
            if number is None:
                continue
            (paid if claim.amount < 0 else back).append(number)
            evidence[number] = {
                "bank": lines[0].account,
                "lines": [ids.show("bln", line.id) for line in lines],
                "booked_on": lines[-1].booked_on.isoformat(),
            }
    if evidence:
        await bank_payouts.shown(session, context, paid, back, evidence)
