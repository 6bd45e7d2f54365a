"""The set-based writes of a batch: block coverage, holdings, wake-ups. One statement each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from chain.types import Batch
from core.db import Raw
from core.networks import Network
from payments.tables import Deposit, HouseMovement

_BLOCKS = """
with gone as (
    delete from blocks where network = %(network)s and number > %(fork)s::bigint
        and number > %(top)s::bigint
)
insert into blocks (network, number, hash, parent_hash, timestamp, traces)
select %(network)s, * , %(traces)s from unnest(
    %(number)s::bigint[], %(hash)s::text[], %(parent)s::text[], %(timestamp)s::timestamptz[]
)
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
            "number": [b.number for b in batch.blocks],
            "hash": [b.hash for b in batch.blocks],
            "parent": [b.parent_hash for b in batch.blocks],
            "timestamp": [datetime.fromtimestamp(b.timestamp, UTC) for b in batch.blocks],
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
    for deposit in arrived:
        change[deposit.network, deposit.address, deposit.asset] += deposit.amount
    for deposit in gone:
        change[deposit.network, deposit.address, deposit.asset] -= deposit.amount
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
