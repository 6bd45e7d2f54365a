"""Posting: entries whose postings sum to zero per asset, each happening once by its key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import Raw, raw
from core.errors import Conflict, LedgerError


class Kind(StrEnum):
    """Why an entry was made."""

    OPENING = "opening"
    """Balances that stood before the ledger began, or the owner's own funds."""
    DEPOSIT_SEEN = "deposit_seen"
    """A Transfer to a deposit address entered the chain."""
    DEPOSIT_CONFIRMED = "deposit_confirmed"
    """Its debt became the merchant's to spend, or went to the inbox."""
    DEPOSIT_MOVED = "deposit_moved"
    """Its debt changed its account afterwards (expiry of a part payment, a mark)."""
    DEPOSIT_REVERSED = "deposit_reversed"
    """The chain took the Transfer back."""
    TRANSFER = "transfer"
    """Money went from one customer's wallet to another's, in the ledger alone."""
    INBOX_RESOLVED = "inbox_resolved"
    """A person decided about what lay in the inbox: it is credited, or goes back to its payer."""
    SWEEP = "sweep"
    """Our factory moved a deposit address's money to the treasury."""
    SWEEP_REVERSED = "sweep_reversed"
    """The chain took a sweep back."""
    UNKNOWN_INFLOW = "unknown_inflow"
    """Money came to an address of the house without a known meaning."""
    UNKNOWN_INFLOW_REVERSED = "unknown_inflow_reversed"
    """The chain took such an inflow back."""
    PAYOUT_RESERVED = "payout_reserved"
    """A payout was asked for: its amount and fee are set aside."""
    PAYOUT_RELEASED = "payout_released"
    """It was rejected or failed: all of it is where it came from."""
    PAYOUT_PAID = "payout_paid"
    """A block carries it: hot wallet and debt are less by it, its fee is ours. Or a bank's line
    shows it, which is booked beside it."""
    PAYOUT_REVERSED = "payout_reversed"
    """The chain took that block back, or the bank brought it back: it is set aside again."""
    GAS = "gas"
    """A transaction of ours was mined, whatever became of it: its gas left the wallet."""
    GAS_REVERSED = "gas_reversed"
    """The chain took that block back, and with it the gas."""
    FILL = "fill"
    """A venue executed an order of ours, or a part of it: both assets, and its fee."""
    SLIPPAGE = "slippage"
    """A conversion came out better or worse than its quote."""
    MOVE_SENT = "move_sent"
    """Money of ours left one place for another: it is in transit."""
    MOVE_ARRIVED = "move_arrived"
    """It reached the other place."""
    MOVE_REVERSED = "move_reversed"
    """It did not leave after all, or came back."""
    VENUE_TRANSFER = "venue_transfer"
    """A venue credited or took money that no move of ours explains; a person is told."""
    SETTLED_IN_FIAT = "settled_in_fiat"
    """A merchant's crypto became his fiat (MONEY 5)."""
    BANK = "bank"
    """A line of a bank's statement."""
    BREAK_RESOLVED = "break_resolved"
    """A person decided about a difference that reconciliation found."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: debit positive, base units of `asset`."""

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A fact in the books. `key` makes it happen once; `reference` is the TypeID of the fact."""

    id: UUID
    key: str
    kind: Kind
    reference: str
    merchant_id: UUID | None
    evidence: dict[str, Any]
    posted_at: datetime
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True)
class Posted:
    """Which entries were new, and the balances (debit positive) of the accounts they touched."""

    new: frozenset[UUID]
    balances: dict[tuple[str, str], int]


def transfer(asset: str, amount: int, *, debit: str, credit: str) -> tuple[Posting, ...]:
    """The commonest shape: one asset, two accounts."""
    return Posting(debit, asset, amount), Posting(credit, asset, -amount)


# Entries, postings and balances in one round trip. Accounts are locked in sorted order, because
# the upsert walks its input in that order: two batches cannot wait for each other in a circle.
POST = """
with given as (
    select * from unnest(
        %(id)s::uuid[], %(key)b::text[], %(kind)b::text[], %(reference)b::text[],
        %(merchant_id)s::uuid[], %(evidence)b::jsonb[], %(posted_at)s::timestamptz[]
    ) as t(id, key, kind, reference, merchant_id, evidence, posted_at)
), written as (
    insert into journal_entries (id, key, kind, reference, merchant_id, evidence, posted_at)
    select id, key, kind, reference, merchant_id, evidence, posted_at from given order by id
    on conflict (key) do nothing
    returning id, posted_at
), lines as materialized (
    select t.entry_id, t.n, t.account, t.asset, t.amount, w.posted_at
    from unnest(
        %(entry_id)s::uuid[], %(n)s::smallint[], %(account)b::text[], %(asset)b::text[],
        %(amount)s::numeric[]
    ) as t(entry_id, n, account, asset, amount)
    join written w on w.id = t.entry_id
), posted as (
    insert into postings (entry_id, n, account, asset, amount, posted_at)
    select entry_id, n, account, asset, amount, posted_at from lines
), changes as materialized (
    select account, asset, sum(amount) as change from lines group by account, asset
), moved as (
    insert into account_balances as b (account, asset, balance)
    select account, asset, change from changes c
    -- The first line of an account meets no row below, hence no condition there.
    where change <= 0 or account <> all(%(guarded)s::text[]) or exists (
        select from account_balances o where o.account = c.account and o.asset = c.asset)
    order by account, asset
    on conflict (account, asset) do update set balance = b.balance + excluded.balance
    where b.account <> all(%(guarded)s::text[]) or excluded.balance <= 0
        or b.balance + excluded.balance <= 0
    returning account, asset, balance
)
select
    (select coalesce(array_agg(id), '{}') from written),
    (select coalesce(jsonb_agg(jsonb_build_array(account, asset, balance::text)), '[]') from moved),
    (select count(*) from changes)
"""


def check(entry: Entry) -> None:
    """Raises LedgerError unless the postings sum to zero per asset and none is zero."""
    sums: dict[str, int] = defaultdict(int)
    for posting in entry.postings:
        if posting.amount == 0:
            raise LedgerError(f"{entry.key}: a posting of zero to {posting.account}")
        sums[posting.asset] += posting.amount
    if not entry.postings or any(sums.values()):
        raise LedgerError(f"{entry.key}: postings do not sum to zero per asset")


async def post(
    session: AsyncSession,
    entries: Sequence[Entry],
    *,
    guarded: Collection[str] = (),
    repeated: bool = False,
) -> Posted:
    """Writes entries in one statement. Where `repeated`, those whose key stands already are left
    out; otherwise such a key is a LedgerError: a fact that the caller took for new is in the books.

    `guarded` names debt accounts that must not become overdrawn by this: "enough funds" is a
    condition of the write itself, never an earlier read. Raises Conflict `insufficient_funds`
    (the caller's transaction must then roll back), LedgerError for an unbalanced entry.
    """
    return await post_raw(await raw(session), entries, guarded=guarded, repeated=repeated)


async def post_raw(
    connection: Raw,
    entries: Sequence[Entry],
    *,
    guarded: Collection[str] = (),
    repeated: bool = False,
) -> Posted:
    """`post` on a psycopg connection."""
    sent = await send(connection, entries, guarded=guarded)
    return await settle(sent, entries, repeated=repeated)


async def send(
    connection: Raw, entries: Sequence[Entry], *, guarded: Collection[str] = ()
) -> AsyncCursor[Any] | None:
    """The statement of `post`, whose answer `settle` reads: other statements may follow it in a
    pipeline. Raises LedgerError for an unbalanced entry."""
    if not entries:
        return None
    for entry in entries:
        check(entry)
    lines = [(e.id, n, p) for e in entries for n, p in enumerate(e.postings)]
    return await connection.execute(
        POST,
        {
            "id": [e.id for e in entries],
            "key": [e.key for e in entries],
            "kind": [e.kind.value for e in entries],
            "reference": [e.reference for e in entries],
            "merchant_id": [e.merchant_id for e in entries],
            "evidence": [Jsonb(e.evidence) for e in entries],
            "posted_at": [e.posted_at for e in entries],
            "entry_id": [line[0] for line in lines],
            "n": [line[1] for line in lines],
            "account": [line[2].account for line in lines],
            "asset": [line[2].asset for line in lines],
            "amount": [line[2].amount for line in lines],
            "guarded": list(guarded),
        },
    )


async def settle(
    sent: AsyncCursor[Any] | None, entries: Sequence[Entry], *, repeated: bool = False
) -> Posted:
    """What became of `send`. Raises Conflict `insufficient_funds`, and LedgerError for a key that
    stands already: the caller's transaction must then roll back."""
    if sent is None:
        return Posted(frozenset(), {})
    row = await sent.fetchone()
    assert row is not None  # noqa: S101  (a select without from always has a row)
    new, balances, touched = row
    if len(new) < len(entries) and not repeated:
        known = [entry.key for entry in entries if entry.id not in set(new)]
        raise LedgerError(f"in the books already: {', '.join(known[:5])}")
    if len(balances) < touched:
        raise Conflict("not enough money for this", code="insufficient_funds")
    return Posted(frozenset(new), {(account, asset): int(b) for account, asset, b in balances})
