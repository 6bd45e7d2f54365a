"""The set-based writes of a batch: block coverage, holdings, wake-ups. One statement each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from chain.types import Batch
from core.db import Raw
from core.networks import Network
from ledger.accounts import Role
from payments.ground import Guard
from payments.tables import Deposit, HouseMovement

_CURSOR = """
update network_cursors set number = %(number)s, hash = %(hash)s, version = version + 1,
    head = %(head)s, safe = %(safe)s, finalized = %(finalized)s,
    followed_until = %(followed_until)s, updated_at = %(now)s
where network = %(network)s
"""

# Hashes and times as one text each: an array of thousands costs more to send than to store.
_BLOCKS = """
with gone as (
    delete from blocks where network = %(network)s and number > %(fork)s::bigint
        and number > %(top)s::bigint
)
insert into blocks (network, number, hash, parent_hash, timestamp, traces)
select %(network)s, %(first)s::bigint + n - 1, hash, parent, to_timestamp(stamp::bigint), %(traces)s
from unnest(
    string_to_array(%(hash)s, ','), string_to_array(%(parent)s, ','),
    string_to_array(%(timestamp)s, ',')
) with ordinality as b (hash, parent, stamp, n)
on conflict (network, number) do update
set hash = excluded.hash, parent_hash = excluded.parent_hash, timestamp = excluded.timestamp,
    traces = excluded.traces
"""

_HOLDINGS = """
insert into address_holdings as h (network, address, asset, amount)
select * from unnest(
    %(network)s::text[], %(address)s::text[], %(asset)s::text[], %(amount)s::numeric[]
) order by 1, 2, 3
on conflict (network, address, asset) do update set amount = h.amount + excluded.amount
"""

_WAKE = """
select pg_notify('block', %(network)s)
union all select pg_notify('invoice', i) from unnest(%(invoices)s::text[]) as i
"""


async def move_cursor(
    connection: Raw, network: Network, guard: Guard, batch: Batch, now: datetime
) -> None:
    """The guard row as it is from now on."""
    await connection.execute(
        _CURSOR,
        {
            "network": network.id,
            "number": guard.number,
            "hash": guard.hash,
            "head": batch.head,
            "safe": guard.safe,
            "finalized": guard.finalized,
            "followed_until": guard.followed_until,
            "now": now,
        },
    )


async def record_blocks(connection: Raw, network: Network, batch: Batch) -> None:
    """Every block read, and how ETH inside it was found; a fork's old blocks give way."""
    if not batch.blocks and batch.fork is None:
        return
    top = batch.blocks[-1].number if batch.blocks else batch.fork
    await connection.execute(
        _BLOCKS,
        {
            "network": network.id,
            "fork": batch.fork if batch.fork is not None else 2**62,
            "top": top,
            "first": batch.blocks[0].number if batch.blocks else 0,
            "hash": ",".join([b.hash for b in batch.blocks]),
            "parent": ",".join([b.parent_hash for b in batch.blocks]),
            "timestamp": ",".join([str(b.timestamp) for b in batch.blocks]),
            "traces": network.traces.value,
        },
    )


async def record_holdings(
    connection: Raw,
    gone: Iterable[Deposit],
    arrived: Iterable[Deposit],
    unswept: Sequence[HouseMovement],
    swept: Sequence[HouseMovement],
) -> None:
    """What stands on each deposit address at the cursor's block."""
    change: dict[tuple[str, str, str], int] = defaultdict(int)
    for sign, deposits in ((1, arrived), (-1, gone)):
        for deposit in deposits:
            if deposit.role == Role.DEPOSITS:  # else it is in the treasury already
                change[deposit.network, deposit.address, deposit.asset] += sign * deposit.amount
    for row in swept:
        if row.meaning == "swept":
            change[row.network, row.source, row.asset] -= row.amount
    for row in unswept:
        if row.meaning == "swept":
            change[row.network, row.source, row.asset] += row.amount
    changed = [(key, amount) for key, amount in change.items() if amount]
    if changed:
        await connection.execute(
            _HOLDINGS,
            {
                "network": [key[0] for key, _ in changed],
                "address": [key[1] for key, _ in changed],
                "asset": [key[2] for key, _ in changed],
                "amount": [amount for _, amount in changed],
            },
        )


async def wake(connection: Raw, network: str, invoices: Iterable[UUID]) -> None:
    """Pages that show these invoices, or confirmations on this network, look again at commit."""
    await connection.execute(
        _WAKE, {"network": network, "invoices": [invoice.hex for invoice in invoices]}
    )
