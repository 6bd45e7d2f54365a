"""What blocks did to our own transactions: called by whoever applies them, in that transaction.

The hash of a variant is stored before its bytes leave, so a block that carries it was read after:
`outstanding`, asked once a block's header is there, cannot miss one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from chain.types import Batch, Receipt
from core import metrics
from core.db import Raw
from core.networks import NATIVE, Network
from ledger.accounts import Role
from ledger.journal import Entry
from wallets.gas import entry
from wallets.judging import CANCEL, Facts, Mined, deep, final_block, judge
from wallets.transactions import (
    CHANNEL,
    Observed,
    Outflow,
    Own,
    Purpose,
    Status,
    read_outflows,
    show_outflows,
)

# Whether anything of ours is under way on a network: where not, `observe` has nothing to do.
UNDER_WAY = "select exists (select from transactions where network = %s and open)"

_OUTSTANDING = """
select v.tx_hash from transactions t join transaction_variants v on v.transaction_id = t.id
where t.network = %s and t.open
"""

# Only rows that these blocks can change: what they carry, what waits for depth, what lies above
# a fork, what became final.
_TOUCHED = """
select t.id, t.wallet, t.purpose, t.reference, t.intent, t.spends, t.status, t.reason, t.nonce,
    t.generation, t.sent_at, t.ended_at, t.tx_hash, t.block_number, t.block_hash,
    t.succeeded, t.gas_paid, t.outflows, coalesce(h.role, 'hot') as role,
    (select jsonb_object_agg(v.tx_hash, v.kind) from transaction_variants v
        where v.transaction_id = t.id
        and (v.tx_hash = any(%(hashes)s::text[]) or v.tx_hash = t.tx_hash)) as kinds
from transactions t
left join house_addresses h on h.network = t.network and h.address = t.wallet
where t.network = %(network)s and t.open and (
    t.status = 'mined' or t.block_number > %(fork)s or t.block_number <= %(final)s
    or exists (select from transaction_variants v
        where v.transaction_id = t.id and v.tx_hash = any(%(hashes)s::text[])))
order by t.id
for update of t
"""

_CHANGE = """
with changed as (
    select * from unnest(
        %(id)s::uuid[], %(status)s::text[], %(reason)s::text[], %(generation)s::int[],
        %(open)s::bool[], %(ended_at)s::timestamptz[], %(tx_hash)s::text[],
        %(block_number)s::bigint[], %(block_hash)s::text[], %(succeeded)s::bool[],
        %(gas_paid)s::numeric[], %(outflows)s::jsonb[]
    ) as c (id, status, reason, generation, open, ended_at, tx_hash, block_number, block_hash,
        succeeded, gas_paid, outflows)
), woken as (
    select pg_notify(%(channel)s, %(network)s)
)
update transactions t set status = c.status, reason = c.reason, generation = c.generation,
    open = c.open, ended_at = c.ended_at, tx_hash = c.tx_hash, block_number = c.block_number,
    block_hash = c.block_hash, succeeded = c.succeeded, gas_paid = c.gas_paid,
    outflows = case when c.outflows = 'null' then null else c.outflows end,
    due_at = %(now)s, attempts = 0
from changed c, woken where t.id = c.id
"""


@dataclass(slots=True, kw_only=True)
class Row:
    """A transaction that these blocks may change."""

    id: UUID
    wallet: str
    purpose: str
    reference: str
    intent: dict[str, Any]
    spends: dict[str, str]
    status: str
    reason: str | None
    nonce: int
    generation: int
    sent_at: datetime | None
    ended_at: datetime | None
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    succeeded: bool | None
    gas_paid: int | None
    outflows: list[Any] | None
    role: str
    kinds: dict[str, str] | None
    open: bool = True


@dataclass(slots=True)
class _Book:
    """What comes of a batch."""

    network: Network
    now: datetime
    orphaned: list[Own] = field(default_factory=list)
    mined: list[Own] = field(default_factory=list)
    confirmed: list[Own] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def gas(self, row: Row, *, reverse: bool = False) -> None:
        """Gas leaves the wallet with the block, whatever became of the transaction."""
        if row.gas_paid:
            sign = -1 if reverse else 1
            own = _own(row, self.network)
            role = Role(row.role)
            self.entries.append(entry(self.network, own, role, row.generation, sign, self.now))


async def outstanding(connection: Raw, network: str) -> frozenset[str]:
    """Hashes of all variants that a block may carry, or a fork may take out of one."""
    rows = await (await connection.execute(_OUTSTANDING, (network,))).fetchall()
    return frozenset(row[0] for row in rows)


async def observe(
    connection: Raw,
    network: Network,
    batch: Batch,
    *,
    finalized: int | None,
    now: datetime,
) -> Observed:
    """Takes back what lies above a fork, takes in the batch's receipts, ends what is deep enough.

    finalized: the highest final block known by now, None where none was ever told. One cheap
    statement when nothing is outstanding. The caller posts `entries` and tells the owners, in the
    same database transaction.
    """
    top = _top(batch)
    final = final_block(top, finalized)
    carried = {r.tx_hash: r for r in batch.receipts or ()}
    rows = await _touched(connection, network, batch, list(carried), final)
    if not rows:
        return Observed()
    book = _Book(network, now)
    changed: list[Row] = []
    for row in rows:
        before = replace(row)
        if batch.fork is not None and (row.block_number or 0) > batch.fork:
            _take_back(row, book)
        receipt = next((carried[h] for h in row.kinds or {} if h in carried), None)
        if receipt is not None and row.block_number is None:
            _take_in(row, receipt, book)
        if row.block_number is not None:
            is_deep = deep(network, row.block_number, top, batch.safe, finalized)
            _end(row, is_deep, book)
            row.open = row.block_number > final or row.status == Status.MINED
        if row != before:
            changed.append(row)
    if changed:
        await _change(connection, network, changed, now)
    return Observed(
        tuple(book.orphaned), tuple(book.mined), tuple(book.confirmed), tuple(book.entries)
    )


def _top(batch: Batch) -> int:
    if batch.blocks:
        return batch.blocks[-1].number
    return batch.start.number if batch.fork is None else batch.fork


async def _touched(
    connection: Raw, network: Network, batch: Batch, hashes: list[str], final: int
) -> list[Row]:
    async with connection.cursor(row_factory=class_row(Row)) as cursor:
        await cursor.execute(
            _TOUCHED,
            {
                "network": network.id,
                "hashes": hashes,
                "fork": 2**62 if batch.fork is None else batch.fork,
                "final": final,
            },
        )
        return await cursor.fetchall()


def _take_back(row: Row, book: _Book) -> None:
    """Thrown out by a fork: it is `sent` again, and the same bytes are handed over again."""
    book.orphaned.append(_own(row, book.network))
    book.gas(row, reverse=True)
    row.status, row.reason, row.ended_at = Status.SENT, None, None
    row.tx_hash = row.block_number = row.block_hash = None
    row.succeeded = row.gas_paid = row.outflows = None


def _take_in(row: Row, receipt: Receipt, book: _Book) -> None:
    """A block carries one of its variants: that ends the nonce."""
    row.generation += 1
    row.status, row.reason = Status.MINED, None
    row.tx_hash, row.block_number = receipt.tx_hash, receipt.block_number
    row.block_hash, row.succeeded = receipt.block_hash, receipt.succeeded
    row.gas_paid = receipt.gas_paid
    row.outflows = show_outflows(_outflows(row, receipt))
    book.gas(row)
    book.mined.append(_own(row, book.network))
    if row.sent_at is not None:
        metrics.TRANSACTION_SECONDS.labels(book.network.id).observe(
            max(0.0, (book.now - row.sent_at).total_seconds())
        )


def _outflows(row: Row, receipt: Receipt) -> tuple[Outflow, ...]:
    """Its own value, and every Transfer away from the wallet; nothing when it failed. What a
    Multisend paid in ETH its own events tell, one by one: the rest of the value came back."""
    if not receipt.succeeded or _kind(row) == CANCEL:
        return ()
    via = row.intent.get("multisend")
    found = [
        Outflow(NATIVE if t.token == via else t.token, t.recipient, t.amount, t.log_index)
        for t in receipt.logs
        if t.sender == row.wallet and t.amount
    ]
    value = int(row.spends.get(NATIVE, 0))
    if value and via is None:
        found.insert(0, Outflow(NATIVE, _payee(row.intent), value, None))
    return tuple(found)


def _payee(intent: dict[str, Any]) -> str:
    """Whom the transaction itself pays, of the intents that spend coin alone."""
    return str((intent.get("payment") or intent)["to"])


def _kind(row: Row) -> str:
    return (row.kinds or {}).get(row.tx_hash or "", "")


def _end(row: Row, is_deep: bool, book: _Book) -> None:
    mined = Mined(kind=_kind(row), succeeded=bool(row.succeeded), deep=is_deep)
    said = judge(Facts(nonce=row.nonce, mined=mined))
    if said.status == row.status or row.status != Status.MINED:
        return  # what has ended stays so until a fork takes it back
    row.status, row.reason, row.ended_at = said.status, said.reason, book.now
    book.confirmed.append(_own(row, book.network))


def _own(row: Row, network: Network) -> Own:
    return Own(
        id=row.id,
        network=network.id,
        wallet=row.wallet,
        purpose=Purpose(row.purpose),
        reference=row.reference,
        status=Status(row.status),
        tx_hash=row.tx_hash,
        block_number=row.block_number,
        block_hash=row.block_hash,
        succeeded=bool(row.succeeded),
        cancel=_kind(row) == CANCEL,
        gas_paid=row.gas_paid or 0,
        outflows=read_outflows(row.outflows),
        reason=row.reason,
        generation=row.generation,
    )


async def _change(connection: Raw, network: Network, rows: list[Row], now: datetime) -> None:
    """All changed rows in one statement; whoever sends wakes: there is room, or work."""
    columns = (
        "id", "status", "reason", "generation", "open", "ended_at", "tx_hash", "block_number",
        "block_hash", "succeeded", "gas_paid",
    )  # fmt: skip
    values: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in columns}
    values["outflows"] = [Jsonb(row.outflows) for row in rows]
    await connection.execute(
        _CHANGE, {**values, "now": now, "channel": CHANNEL, "network": network.id}
    )
