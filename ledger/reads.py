"""Reading the books: balances now and at a past moment, accounts, entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from core import clock, ids
from core.errors import NotFound
from core.money import Asset, written
from core.networks import Catalog
from core.pages import page_of
from ledger.accounts import Debt, merchant
from ledger.tables import AccountBalance, EntryChain, JournalEntry, PostingRow


@dataclass(frozen=True, slots=True)
class Balance:
    """Base units, debit positive."""

    account: str
    asset: str
    balance: int


def amount(catalog: Catalog, asset: str, units: int) -> str:
    """Base units -> decimal string: all of the asset's decimals, and more where a venue's units
    have a fraction of one."""
    places, known = decimals(catalog, asset), catalog.asset(symbol(asset))
    return written(units, places, min(places, known.decimals) if known is not None else places)


def exact(catalog: Catalog, asset: str, units: int) -> str:
    """Base units -> decimal string with all decimals that this code counts (18 of `EUR@18`)."""
    places = decimals(catalog, asset)
    return Asset(asset, places, places).format(units)


def decimals(catalog: Catalog, code: str) -> int:
    """Of a code in the ledger. An asset that is not configured (any more) is counted as its code
    says (`BNB@18`), else shown in base units."""
    known = catalog.asset(code)
    if known is not None:
        return known.decimals
    fine = code.partition("@")[2]
    return int(fine) if fine.isdigit() else 0


def symbol(code: str) -> str:
    """An asset as people name it: `EUR`, also where it is counted as venues do (`EUR@18`)."""
    return code.partition("@")[0]


def own_accounts(merchant_id: UUID) -> list[str]:
    """All accounts that say what we owe this merchant."""
    return [merchant(merchant_id, debt) for debt in Debt]


async def balances(
    session: AsyncSession, merchant_id: UUID | None, at: datetime | None
) -> list[Balance]:
    """What we owe a merchant, or all of them (None), now or as it stood at `at` (inclusive)."""
    column: InstrumentedAttribute[str] = (
        AccountBalance.account if at is None else PostingRow.account
    )
    whose = (
        column.startswith("merchant:")
        if merchant_id is None
        else column.in_(own_accounts(merchant_id))
    )
    if at is None:
        now = select(AccountBalance.account, AccountBalance.asset, AccountBalance.balance)
        rows = (await session.execute(now.where(whose))).all()
    else:
        then = select(PostingRow.account, PostingRow.asset, func.sum(PostingRow.amount))
        then = then.where(whose, PostingRow.posted_at <= at)
        rows = (await session.execute(then.group_by(PostingRow.account, PostingRow.asset))).all()
    return [Balance(account, asset, int(balance)) for account, asset, balance in rows]


async def shown_balances(
    session: AsyncSession, catalog: Catalog, merchant_id: UUID | None, at: datetime | None
) -> list[dict[str, str]]:
    """The API's balances: what we owe, so negated; one object per merchant and asset.

    `merchant_id` None: all merchants.
    """
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in await balances(session, merchant_id, at):
        _, owner, debt = row.account.split(":", 2)
        found[owner, row.asset][debt] = -row.balance
    return [
        {
            "merchant": owner,
            "asset": asset,
            **{debt.value: amount(catalog, asset, debts.get(debt.value, 0)) for debt in Debt},
        }
        for (owner, asset), debts in sorted(found.items())
    ]


async def accounts(
    session: AsyncSession,
    catalog: Catalog,
    merchant_id: UUID | None,
    *,
    prefix: str,
    limit: int,
    cursor: tuple[str, str] | None,
) -> tuple[list[dict[str, str]], bool]:
    """The API's accounts under `prefix` by name, one line for each asset, and whether there are
    more. What is counted in an asset's own units and in venues' is one sum.

    `merchant_id` None: an operator, all accounts; else those of what we owe that merchant.
    """
    key = (AccountBalance.account, func.split_part(AccountBalance.asset, "@", 1))
    parts = func.string_agg(AccountBalance.asset + "=" + cast(AccountBalance.balance, Text), ",")
    query = select(*key, parts).where(AccountBalance.account.startswith(prefix, autoescape=True))
    if merchant_id is not None:
        query = query.where(AccountBalance.account.in_(own_accounts(merchant_id)))
    if cursor is not None:
        query = query.where(tuple_(*key) > cursor)
    query = query.group_by(*key).order_by(*key).limit(limit + 1)
    rows = (await session.execute(query)).all()
    found = [
        {"object": "ledger_account", "account": a, "asset": s, "balance": _sum(catalog, p)}
        for a, s, p in rows[:limit]
    ]
    return found, len(rows) > limit


def _sum(catalog: Catalog, parts: str) -> str:
    """`EUR=100,EUR@18=5` -> their sum, as `amount` shows it."""
    counted = {code: int(units) for code, _, units in (p.partition("=") for p in parts.split(","))}
    finest = max(counted, key=lambda code: decimals(catalog, code))
    places = decimals(catalog, finest)
    total = sum(u * 10 ** (places - decimals(catalog, code)) for code, u in counted.items())
    return amount(catalog, finest, total)


async def entries(
    session: AsyncSession,
    catalog: Catalog,
    merchant_id: UUID | None,
    *,
    account: str | None,
    reference: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """The API's JSON of entries with all their postings, newest first, and whether there are more.

    `merchant_id` None: an operator, all entries; else that merchant's only.
    """
    touched = select(PostingRow.entry_id).where(PostingRow.account == account)
    of_account = () if account is None else (JournalEntry.id.in_(touched),)
    found, more = await page_of(
        session,
        JournalEntry,
        limit,
        cursor,
        *of_account,
        merchant_id=merchant_id,
        reference=reference,
    )
    return await _shown(session, catalog, found), more


async def entry(
    session: AsyncSession, catalog: Catalog, merchant_id: UUID | None, entry_id: UUID | None
) -> dict[str, Any]:
    """One entry as in `entries`. Raises NotFound, also for another merchant's."""
    found = await session.get(JournalEntry, entry_id) if entry_id else None
    if found is None or (merchant_id is not None and found.merchant_id != merchant_id):
        raise NotFound("no such journal entry")
    return (await _shown(session, catalog, [found]))[0]


async def _shown(
    session: AsyncSession, catalog: Catalog, found: Sequence[JournalEntry]
) -> list[dict[str, Any]]:
    wanted = [e.id for e in found]
    postings: defaultdict[UUID, list[dict[str, str]]] = defaultdict(list)
    lines = select(PostingRow).where(PostingRow.entry_id.in_(wanted)).order_by(PostingRow.n)
    for line in await session.scalars(lines):
        postings[line.entry_id].append(
            {
                "account": line.account,
                "asset": symbol(line.asset),
                "amount": amount(catalog, line.asset, line.amount),
            }
        )
    chain = select(EntryChain).where(EntryChain.entry_id.in_(wanted))
    links = {row.entry_id: row for row in await session.scalars(chain)}
    return [
        {
            "id": ids.show("je", e.id),
            "object": "journal_entry",
            "kind": e.kind,
            "key": e.key,
            "reference": e.reference,
            "posted_at": clock.show(e.posted_at),
            "created_at": clock.show(e.posted_at),
            "evidence": e.evidence,
            "seq": links[e.id].seq if e.id in links else None,
            "hash": links[e.id].hash.hex() if e.id in links else None,
            "postings": postings[e.id],
        }
        for e in found
    ]
