"""What the comparison of deposits reads, in snapshots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from core.db import Raw
from core.ids import show
from ledger.accounts import Debt, Role, merchant, place, wallet

# What a run has to look at: all, or what changed since; and what stands as a Break.
DEPOSITS = """
select id, merchant_id, invoice_id, wallet_id, network, role, asset, amount, address, status,
    account, generation, tx_hash, position, block_number, block_hash
from deposits
where id > %(after)s and (%(since)s::timestamptz is null or status = 'pending'
    or greatest(seen_at, confirmed_at, resolved_at) >= %(since)s or id = any(%(again)s))
order by id limit %(limit)s
"""
_KINDS = [
    "deposit_seen",
    "deposit_confirmed",
    "deposit_moved",
    "deposit_reversed",
    "inbox_resolved",
]
_SETTLED = ["settled_in_fiat"]
_SUMS = """
select j.reference, p.account, p.asset, sum(p.amount)
from journal_entries j join postings p on p.entry_id = j.id
where j.reference = any(%s) and j.kind = any(%s) group by 1, 2, 3
"""
# Entries whose deposit is not there: found by their ids, which are younger than the deposit's.
SEEN = """
select id, reference from journal_entries
where id > %(after)s and kind = 'deposit_seen'
    and (%(since)s::timestamptz is null or posted_at >= %(since)s or reference = any(%(named)s))
order by id limit %(limit)s
"""
KNOWN = "select id from deposits where id = any(%s)"
OWED = """
select merchant_id, wallet_id, account, asset, sum(amount) from deposits
where status <> 'orphaned' and account in ('pending', 'inbox') group by 1, 2, 3, 4
"""
BOOKED = """
select account, asset, -balance from account_balances
where balance <> 0 and (account like 'merchant:%%:pending' or account like 'merchant:%%:inbox'
    or account like 'wallet:%%:pending')
"""
UNPAID = """
select id from invoices i where status = 'settled' and mark is null
    and not exists (select from deposits d where d.invoice_id = i.id and d.status = 'confirmed')
limit 100
"""


@dataclass(frozen=True, slots=True)
class DepositRow:
    """A deposit, as far as its entries must agree with it."""

    id: UUID
    merchant_id: UUID
    invoice_id: UUID | None
    wallet_id: UUID | None
    network: str
    role: str
    asset: str
    amount: int
    address: str
    status: str
    account: str
    generation: int
    tx_hash: str
    position: str
    block_number: int
    block_hash: str

    @property
    def name(self) -> str:
        return show("dep", self.id)

    def debt(self, debt: Debt) -> str:
        if self.wallet_id is not None:
            return wallet(self.wallet_id, debt)
        return merchant(self.merchant_id, debt)

    def expected(self) -> dict[tuple[str, str], int]:
        """What its entries must come to: nothing once the chain took it back."""
        if self.status == "orphaned":
            return {}
        held = place(self.network, Role(self.role))
        owed = self.debt(Debt(self.account))
        return {(held, self.asset): self.amount, (owed, self.asset): -self.amount}


async def sums_of(
    connection: Raw, names: Sequence[str]
) -> defaultdict[str, dict[tuple[str, str], int]]:
    """By deposit: what its entries come to, by account and asset; debit positive, no zeros."""
    return await _sums(connection, names, _KINDS)


async def settled_of(
    connection: Raw, names: Sequence[str]
) -> defaultdict[str, dict[tuple[str, str], int]]:
    """The same by invoice: what became of its crypto where its merchant takes fiat."""
    return await _sums(connection, names, _SETTLED)


async def _sums(
    connection: Raw, names: Sequence[str], kinds: Sequence[str]
) -> defaultdict[str, dict[tuple[str, str], int]]:
    found: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    if not names:
        return found
    cursor = await connection.execute(_SUMS, (list(names), list(kinds)))
    for reference, account, asset, units in await cursor.fetchall():
        if units:
            found[reference][account, asset] = units
    return found
