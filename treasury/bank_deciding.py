"""A person says what a line is, where amounts and names do not: a bank took its fee out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from ledger.accounts import EXCHANGE_FEES, LOSSES
from treasury import bank_claims
from treasury.bank_settling import OPEN, RESOLVED, Explained, explain, is_decided, lock
from treasury.bank_tables import BankLine
from treasury.bank_views import line_json

DIFFERENCES = {"exchange_fees": EXCHANGE_FEES, "losses": LOSSES}


async def decide(
    session: AsyncSession,
    context: Context,
    line_id: UUID | None,
    references: Sequence[str],
    difference: str | None,
    *,
    by: str,
) -> dict[str, Any]:
    """The line is these moves, all of what they have in transit, or these payouts (they left, or
    came back); difference: who bears what is missing (or keeps what is more). Raises NotFound;
    Invalid `unknown_move`; Conflict `line_not_open`, `amounts_differ`."""
    row = await session.get(BankLine, line_id) if line_id else None
    if row is None:
        raise NotFound("no such line")
    await lock(session, row.account)
    await session.refresh(row)
    if row.status == OPEN and await is_decided(session, row.id):
        row.status = RESOLVED
    if row.status != OPEN:
        raise Conflict(f"the line is {row.status}", code="line_not_open")
    known = await bank_claims.every(session, context, row.account, row.asset, references)
    under_way = {claim.reference: claim for claim in known}
    for reference in references:
        if reference not in under_way:
            detail = f"{reference} has nothing under way at {row.account}"
            raise Invalid.of("moves", detail, code="unknown_move")
    chosen = [under_way[reference] for reference in dict.fromkeys(references)]
    rest = row.amount - sum(claim.amount for claim in chosen)
    if rest and difference is None:
        asset = context.banks[row.account].asset
        detail = f"the line has {asset.format(rest)} {asset.symbol} more than these"
        raise Conflict(detail, code="amounts_differ", extra={"difference": asset.format(rest)})
    account = DIFFERENCES[difference] if rest and difference else ""
    explained = Explained(lines=[row], claims=chosen, by=by, rest=rest, rest_account=account)
    await explain(session, context, [explained])
    return line_json(row)
