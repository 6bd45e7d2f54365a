"""What blocks say of our sweeps: called by whoever applies them, in that transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chain.types import Batch
from core.context import Context
from core.ids import show
from core.networks import Network
from ledger.journal import Entry, Kind
from wallets.sweep_cases import SweepCase, load, rejudge
from wallets.sweep_gas import by_deposit
from wallets.transactions import Observed, Purpose
from webhooks.events import NewEvent

_TAKE_BACK = text("""
with gone as (
    delete from sweep_outcomes where network = :network and block_number > :fork returning item_id
)
select distinct i.sweep_id from gone join sweep_items i on i.id = gone.item_id
""")
# The youngest item of an address and token is the one that an event is about: an older sweep of
# the same is over, or its own transaction carries the event.
_RECORD = text("""
with told as (
    select * from unnest(
        cast(:block_hash as text[]), cast(:log_index as int[]), cast(:block_number as bigint[]),
        cast(:tx_hash as text[]), cast(:address as text[]), cast(:token as text[]),
        cast(:amount as numeric[]), cast(:arrived as numeric[]), cast(:treasury as text[])
    ) as t (block_hash, log_index, block_number, tx_hash, address, token, amount, arrived, treasury)
), meant as (
    select distinct on (t.block_hash, t.log_index) t.*, i.id as item_id, i.sweep_id
    from told t
    join sweep_items i on i.network = :network and i.address = t.address and i.token = t.token
    left join transaction_variants v
        on v.transaction_id = i.transaction_id and v.tx_hash = t.tx_hash
    where i.live or v.tx_hash is not null
    order by t.block_hash, t.log_index, (v.tx_hash is not null) desc, i.id desc
), stored as (
    insert into sweep_outcomes (network, block_hash, log_index, block_number, tx_hash, item_id,
        amount, arrived, treasury)
    select :network, block_hash, log_index, block_number, tx_hash, item_id, amount, arrived,
        treasury
    from meant on conflict do nothing
)
select distinct sweep_id from meant
""")
_SENT = text("select distinct sweep_id from sweep_items where transaction_id = any(:ids)")


async def settle(
    session: AsyncSession,
    context: Context,
    network: Network,
    batch: Batch,
    observed: Observed,
    now: datetime,
) -> tuple[Sequence[Entry], list[NewEvent]]:
    """The entries of `observed`, those of sweeps with each deposit's share of the gas, and events.

    Asks nothing where the blocks hold no fork, no event of the factory and no sweep of ours. What
    a sweep moved is in the books by its events already, whoever sent it (MONEY 2).
    """
    sweeps: set[UUID] = set()
    if batch.fork is not None:
        asked = {"network": network.id, "fork": batch.fork}
        sweeps |= set(await session.scalars(_TAKE_BACK, asked))
    if batch.sweeps:
        sweeps |= set(await session.scalars(_RECORD, _told(network, batch)))
    changed = (*observed.orphaned, *observed.mined, *observed.confirmed)
    ours = [one.id for one in changed if one.purpose is Purpose.SWEEP]
    if ours:
        sweeps |= set(await session.scalars(_SENT, {"ids": ours}))
    if not sweeps:
        return observed.entries, []
    cases = await load(session, sweeps)
    events = await rejudge(session, context, cases, now)
    mined = {one.id for one in observed.mined if one.purpose is Purpose.SWEEP}
    return _with_shares(observed.entries, cases, mined), events


def _told(network: Network, batch: Batch) -> dict[str, Any]:
    return {
        "network": network.id,
        "block_hash": [s.block_hash for s in batch.sweeps],
        "log_index": [s.log_index for s in batch.sweeps],
        "block_number": [s.block_number for s in batch.sweeps],
        "tx_hash": [s.tx_hash for s in batch.sweeps],
        "address": [s.deposit_address for s in batch.sweeps],
        "token": [s.token for s in batch.sweeps],
        "amount": [s.amount for s in batch.sweeps],
        "arrived": [s.arrived for s in batch.sweeps],
        "treasury": [s.treasury for s in batch.sweeps],
    }


def _with_shares(
    entries: Sequence[Entry], cases: Sequence[SweepCase], mined: Collection[UUID]
) -> list[Entry]:
    """The gas of a sweep names what it was spent on: a deposit, or an address without one."""
    by_transaction: dict[str, Mapping[str, str]] = {
        show("tx", number): _shares(case, number)
        for case in cases
        for number in case.transactions
        if number in mined
    }
    return [
        replace(entry, evidence={**entry.evidence, "shares": by_transaction[entry.reference]})
        if entry.kind is Kind.GAS and by_transaction.get(entry.reference)
        else entry
        for entry in entries
    ]


def _shares(case: SweepCase, transaction: UUID) -> dict[str, str]:
    """Deposit's id (or address) -> wei as text."""
    found: dict[str, str] = {}
    for item in case.items:
        if item.transaction_id != transaction or item.gas is None:
            continue
        parts = by_deposit(item.gas, item.deposits) or {f"{item.address} {item.token}": item.gas}
        found |= {name: str(wei) for name, wei in parts.items()}
    return found
