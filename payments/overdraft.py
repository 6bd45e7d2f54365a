"""Breaks that following a chain opens and closes by itself, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import Raw, raw
from core.ids import show
from ledger.breaks import BreakKind, Difference, break_json, close_break, open_break
from ledger.journal import Entry
from ledger.tables import BreakRow
from payments import payout_holds
from payments.cases import Outcome
from webhooks.events import NewEvent

Account = tuple[str, str]  # its name, and the asset

_STANDING = "select key from breaks where key = any(%s) and status <> 'resolved'"


async def ask(connection: Raw, entries: Sequence[Entry]) -> AsyncCursor[Any] | None:
    """Which Breaks stand for the accounts of these entries, for `review`: in one round trip with
    their posting, after it. By then the accounts are locked, so the answer cannot change."""
    return await _ask(connection, {(p.account, p.asset) for e in entries for p in e.postings})


async def _ask(connection: Raw, accounts: Iterable[Account]) -> AsyncCursor[Any] | None:
    keys = [_key(*pair) for pair in accounts if _is_watched(*pair)]
    return await connection.execute(_STANDING, (keys,)) if keys else None


async def review(
    session: AsyncSession,
    balances: Mapping[Account, int],
    outcome: Outcome,
    asked: AsyncCursor[Any] | None = None,
) -> None:
    """A reversal may overdraw a merchant or a wallet (MONEY 1): while it lasts a Break says so. And
    another one, while money lies in a wallet's inbox that a person has rejected.

    `balances` are the touched accounts after posting, debit positive: an `available` above zero
    is money that the chain took back after it was ours to give. `asked`: what `ask` gave, where
    it was asked already.
    """
    touched = sorted(pair for pair in balances if _is_watched(*pair))
    if not touched:
        return
    asked = asked or await _ask(await raw(session), touched)
    standing = {row[0] for row in await asked.fetchall()} if asked else set()
    spendable = [pair for pair in touched if not _is_inbox(pair[0])]
    overdrawn = [pair for pair in spendable if balances[pair] > 0]
    whole = [pair for pair in spendable if balances[pair] <= 0 and _key(*pair) in standing]
    await payout_holds.review(session, overdrawn, whole, outcome)
    for account, asset in touched:
        key, balance = _key(account, asset), balances[account, asset]
        whose, owner, _ = account.split(":")  # a merchant's, or a customer's wallet
        if _is_inbox(account) and balance < 0:
            difference = Difference(
                key=key,
                kind=BreakKind.ORPHAN,
                place=account,
                asset=asset,
                expected=0,
                actual=-balance,
                facts={whose: owner, "reason": "rejected by screening: to go back to its payer"},
            )
            await open_and_tell(session, difference, outcome)
        elif not _is_inbox(account) and balance > 0:
            difference = Difference(
                key=key,
                kind=BreakKind.MISSING_ON_CHAIN,
                place=account,
                asset=asset,
                expected=0,
                actual=-balance,
                facts={whose: owner, "reason": "chain reversal"},
            )
            await open_and_tell(session, difference, outcome)
        elif key in standing:
            closed = "it left for its payer" if _is_inbox(account) else "later deposits filled it"
            await close_and_tell(session, key, closed, outcome)


def _is_watched(account: str, _asset: str) -> bool:
    return account.endswith(":available") or _is_inbox(account)


def _is_inbox(account: str) -> bool:
    """Of a customer's wallet: there only what was rejected lies. A merchant's is his own matter."""
    return account.startswith("wallet:") and account.endswith(":inbox")


def _key(account: str, asset: str) -> str:
    return f"{'rejected' if _is_inbox(account) else 'overdrawn'}:{account}:{asset}"


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
