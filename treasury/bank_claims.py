"""What lines of a bank account may be: moves to it and from it, payouts that it was asked for, and
those that come back."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from ledger.accounts import bank
from payments import bank_payouts
from payments.payout_facts import Status
from payments.payout_tables import Payout
from treasury import fundings
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
        *await leaving(session, account),
        *await payouts(session, account, asset),
        *await returned(session, context, asset, named),
    ]


async def moves(session: AsyncSession, account: str) -> list[Claim]:
    """What the books have in transit to an account; and, by name alone, what left it for a venue
    and may come back."""
    rows = await _under_way(session, Move.destination == bank(account), Way.REMIT)
    rows += await _under_way(session, Move.source == bank(account), Way.FUND)
    left = await fundings.in_transit(session, rows)
    return [
        Claim(
            reference=ids.show("mov", row.id),
            amount=left[row.id],
            on=row.created_at.date(),
            by_name=row.way == Way.FUND,
        )
        for row in rows
        if left.get(row.id, 0) > 0
    ]


async def leaving(session: AsyncSession, account: str) -> list[Claim]:
    """Moves from an account to a venue that no line shows yet. A statement need not show one that
    nobody has ordered, as far as is known."""
    rows = await _under_way(session, Move.source == bank(account), Way.FUND)
    left = await fundings.in_transit(session, rows)
    return [
        Claim(
            reference=ids.show("mov", row.id),
            amount=left.get(row.id, -row.amount),
            on=row.created_at.date(),
            alone=True,
            is_due=bool(row.checked or row.booked),
            credited=row.id in left,
        )
        for row in rows
        if left.get(row.id, -1) < 0
    ]


async def _under_way(session: AsyncSession, at: ColumnElement[bool], way: Way) -> list[Move]:
    query = select(Move).where(at, Move.way == way, Move.finished_at.is_(None))
    return list(await session.scalars(query))


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
