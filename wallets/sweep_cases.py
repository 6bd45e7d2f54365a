"""Sweeps under lock with all that is known of them: judged, written, told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.ids import show
from wallets.sweep_facts import (
    OVER,
    ItemFact,
    ItemOutcome,
    Status,
    TransactionFact,
    judge,
    judge_item,
)
from wallets.sweep_gas import shares
from wallets.sweep_tables import Sweep, SweepItem, SweepOutcome
from wallets.sweep_views import sweep_json
from webhooks.events import NewEvent

TOLD = (Status.SENDING, Status.DONE, Status.FAILED)

_TRANSACTIONS = text("""
select t.id, t.nonce, t.status, t.tx_hash, t.reason, t.block_number, t.succeeded, t.gas_paid,
    exists (select from transaction_variants v
        where v.tx_hash = t.tx_hash and v.kind = 'cancel') as cancel,
    coalesce((select jsonb_agg(jsonb_build_object('tx_hash', v.tx_hash) order by v.made_at)
        from transaction_variants v where v.transaction_id = t.id), '[]') as variants
from transactions t where t.id = any(:ids) order by t.id
""")
_LEFT = text("""
select address, asset from address_holdings
where network = :network and address = any(:addresses) and amount > 0
""")
# A fork can bring a sweep back that was over; another one may have taken its place.
_LIVE = text("""
update sweep_items i set live = not exists (
    select from sweep_items o where o.live and o.id <> i.id
        and (o.network, o.address, o.token) = (i.network, i.address, i.token))
where i.sweep_id = :sweep and not i.live
""")


@dataclass(slots=True)
class SweepCase:
    """`transactions` are rows of the table of that name, with the hashes of their variants."""

    row: Sweep
    items: list[SweepItem] = field(default_factory=list)
    outcomes: Mapping[UUID, Sequence[SweepOutcome]] = field(default_factory=dict)
    transactions: Mapping[UUID, Any] = field(default_factory=dict)
    gone: frozenset[UUID] = frozenset()  # items whose address holds none of it by the books


async def load(
    session: AsyncSession, sweep_ids: Collection[UUID], *, locked: bool = True
) -> list[SweepCase]:
    """In the order they were asked for. Locked in that order, so that nobody waits in a circle."""
    if not sweep_ids:
        return []
    query = select(Sweep).where(Sweep.id.in_(sweep_ids)).order_by(Sweep.id)
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    rows = list(await session.scalars(query))
    of_sweep: defaultdict[UUID, list[SweepItem]] = defaultdict(list)
    wanted = select(SweepItem).where(SweepItem.sweep_id.in_([r.id for r in rows]))
    found = await session.scalars(
        wanted.order_by(SweepItem.id).execution_options(populate_existing=True)
    )
    for item in found:
        of_sweep[item.sweep_id].append(item)
    items = [item for some in of_sweep.values() for item in some]
    outcomes: defaultdict[UUID, list[SweepOutcome]] = defaultdict(list)
    told = select(SweepOutcome).where(SweepOutcome.item_id.in_([i.id for i in items]))
    for one in await session.scalars(told.order_by(SweepOutcome.block_number)):
        outcomes[one.item_id].append(one)
    numbers = {i.transaction_id for i in items if i.transaction_id}
    sent = (await session.execute(_TRANSACTIONS, {"ids": list(numbers)})).all()
    transactions = {t.id: t for t in sent}
    gone = await _gone(session, items)
    return [SweepCase(r, of_sweep[r.id], outcomes, transactions, gone) for r in rows]


async def _gone(session: AsyncSession, items: Sequence[SweepItem]) -> frozenset[UUID]:
    if not items:
        return frozenset()
    asked = {"network": items[0].network, "addresses": list({i.address for i in items})}
    left = {(address, asset) for address, asset in await session.execute(_LEFT, asked)}
    return frozenset(i.id for i in items if i.asset and (i.address, i.asset) not in left)


async def rejudge(
    session: AsyncSession,
    context: Context,
    cases: Sequence[SweepCase],
    now: datetime,
    *,
    waits: str | None = None,
) -> list[NewEvent]:
    """Writes what each is by now; the caller flushes and tells the events."""
    events: list[NewEvent] = []
    for case in cases:
        before = case.row.status
        _judge(case, now, waits)
        row = case.row
        if row.status == before:
            continue
        over = row.status in OVER
        row.finished_at = now if over else None
        for item in case.items:
            if over:
                item.live = False
        await session.flush()
        if not over and before in OVER:
            await session.execute(_LIVE, {"sweep": row.id})
        if row.status in TOLD:
            events.append(told(context, case, str(row.status)))
    await session.flush()
    return events


def told(context: Context, case: SweepCase, what: str) -> NewEvent:
    """The house's own event: `sweep.<what>`."""
    subject = show("swp", case.row.id)
    return NewEvent(None, f"sweep.{what}", subject, shown(context, case))


def shown(context: Context, case: SweepCase) -> dict[str, Any]:
    return sweep_json(
        case.row, case.items, case.outcomes, list(_own(case).values()), context.catalog
    )


def _own(case: SweepCase) -> dict[UUID, Any]:
    """Its transactions, in the order in which they were asked for."""
    mine = {i.transaction_id for i in case.items}
    return {number: t for number, t in case.transactions.items() if number in mine}


def _judge(case: SweepCase, now: datetime, waits: str | None) -> None:
    sent = _own(case)
    facts = {number: fact_of(t) for number, t in sent.items()}
    for item in case.items:
        moved = case.outcomes.get(item.id, ())
        said = judge_item(
            ItemFact(
                moved=sum(o.amount for o in moved),
                gone=item.id in case.gone,
                transaction=facts.get(item.transaction_id) if item.transaction_id else None,
            )
        )
        if item.outcome != said:
            item.outcome = said.value if said else None
            item.finished_at = now if said else None
    _share_gas(case, sent)
    judged = judge(
        planned=case.row.loads is not None,
        waits=waits,
        outcomes=[ItemOutcome(i.outcome) if i.outcome else None for i in case.items],
        transactions=list(facts.values()),
    )
    case.row.status, case.row.reasons = judged.status.value, list(judged.reasons)


def fact_of(row: Any) -> TransactionFact:
    """Of a row of _TRANSACTIONS."""
    mined = row.block_number is not None
    return TransactionFact(
        status=row.status,
        worked=mined and bool(row.succeeded) and not row.cancel,
        reason=row.reason,
    )


def _share_gas(case: SweepCase, sent: Mapping[UUID, Any]) -> None:
    """What a transaction cost is borne by what it moved itself."""
    for item in case.items:
        item.gas = None
    for number, transaction in sent.items():
        if transaction.gas_paid is None:
            continue
        carried = [
            item
            for item in case.items
            if item.transaction_id == number
            and any(o.tx_hash == transaction.tx_hash for o in case.outcomes.get(item.id, ()))
        ]
        if carried:
            parts = shares(int(transaction.gas_paid), [i.gas_units for i in carried])
            for item, part in zip(carried, parts, strict=True):
                item.gas = part
