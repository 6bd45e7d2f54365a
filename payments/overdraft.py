"""Breaks that following a chain opens and closes by itself, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.ids import show
from ledger.breaks import BreakKind, Difference, break_json, close_break, open_break
from ledger.tables import BreakRow
from payments.cases import Outcome
from webhooks.events import NewEvent


async def review(
    session: AsyncSession,
    context: Context,
    balances: Mapping[tuple[str, str], int],
    outcome: Outcome,
) -> None:
    """A reversal may overdraw a merchant (MONEY 1): while it lasts a Break says so.

    `balances` are the touched accounts after posting, debit positive: an `available` above zero
    is money that the chain took back after it was ours to give.
    """
    for (account, asset), balance in sorted(balances.items()):
        if not account.endswith(":available"):
            continue
        key = f"overdrawn:{account}:{asset}"
        if balance > 0:
            difference = Difference(
                key=key,
                kind=BreakKind.MISSING_ON_CHAIN,
                place=account,
                asset=asset,
                expected=0,
                actual=-balance,
                facts={"merchant": account.split(":")[1], "reason": "chain reversal"},
            )
            await open_and_tell(session, difference, outcome)
        else:
            await close_and_tell(session, key, "later deposits filled it", outcome)


async def open_and_tell(session: AsyncSession, difference: Difference, outcome: Outcome) -> None:
    row = await open_break(session, difference, outcome.now)
    if row is not None:
        _tell("break.opened", row, outcome)


async def close_and_tell(
    session: AsyncSession, key: str, resolution: str, outcome: Outcome
) -> None:
    row = await close_break(session, key, resolution, outcome.now)
    if row is not None:
        _tell("break.resolved", row, outcome)


def _tell(type_: str, row: BreakRow, outcome: Outcome) -> None:
    data = break_json(row, outcome.context.catalog, outcome.now)
    outcome.events.append(NewEvent(None, type_, show("brk", row.id), data))
