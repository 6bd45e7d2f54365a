"""Payouts under lock, and what a judgement does to them: rows, entries, events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from ledger.journal import Entry
from payments import payout_entries
from payments.payout_facts import BACK, OVER, PayoutFact, Status, judge
from payments.payout_reads import beside_of
from payments.payout_tables import Payout
from payments.payout_views import payout_json, refund_json
from webhooks.events import NewEvent


@dataclass(slots=True)
class Changes:
    """What judgements make: entries to post, and what is to be told, both in order."""

    context: Context
    now: datetime
    entries: list[Entry] = field(default_factory=list)
    told: list[tuple[str, Payout]] = field(default_factory=list)

    async def events(self, session: AsyncSession) -> list[NewEvent]:
        """Rendered as the rows stand now; a refund's payout tells of the refund as well."""
        if not self.told:
            return []
        beside = await beside_of(session, list({row.id: row for _, row in self.told}.values()))
        catalog = self.context.catalog
        events: list[NewEvent] = []
        for what, row in self.told:
            shown = payout_json(row, catalog, beside)
            events.append(NewEvent(row.merchant_id, f"payout.{what}", shown["id"], shown))
            refund = beside.refunds.get(row.id)
            if refund is not None:
                shown = refund_json(refund, row, catalog, beside)
                events.append(NewEvent(row.merchant_id, f"refund.{what}", shown["id"], shown))
        return events


async def lock(session: AsyncSession, *where: ColumnElement[bool]) -> Sequence[Payout]:
    """These payouts as they stand, locked in the order of their ids."""
    query = select(Payout).where(*where).order_by(Payout.id).with_for_update()
    # What the session read before the lock may be old by now.
    rows = await session.scalars(query.execution_options(populate_existing=True))
    return rows.all()


async def lock_ids(session: AsyncSession, payout_ids: Collection[UUID]) -> Sequence[Payout]:
    return await lock(session, Payout.id.in_(payout_ids)) if payout_ids else []


def fact(row: Payout) -> PayoutFact:
    """The row as `judge` wants it."""
    return PayoutFact(
        screening=row.screening,
        policy=row.policy,
        signer=row.signer,
        needed=row.needed,
        given=row.given,
        overdrawn=row.overdrawn,
        hot_short=row.hot_short,
        rejected=row.rejected is not None,
        # A bank may carry out what no file of ours ordered.
        under_way=(row.transaction_id or row.bank_export_id or row.outcome) is not None,
        outcome=row.outcome,
        final=row.final,
    )


def rejudge(row: Payout, changes: Changes) -> None:
    """Writes the judgement into the row, and notes what follows from it."""
    answer = judge(fact(row))
    before, status = Status(row.status), answer.status
    reasons, row.reasons = row.reasons, list(answer.reasons)
    row.status = status.value
    if status is before:
        if status is Status.APPROVED and answer.reasons and not reasons:
            changes.told.append(("delayed", row))
        return
    if before is Status.REQUESTED:
        row.decided_at = changes.now
    if status in BACK:
        changes.entries.append(payout_entries.released(row, changes.now))
        row.due_at = changes.now  # what a refund leaves behind is the worker's to tidy
    if before in BACK:  # the chain took a failure back: its money is needed again
        changes.entries.append(payout_entries.reserved(row, changes.now))
    if before in OVER:
        changes.told.append(("reversed", row))
    row.finished_at = changes.now if status in OVER else None
    changes.told.append((status.value, row))


def rejudge_all(rows: Iterable[Payout], changes: Changes) -> None:
    for row in rows:
        rejudge(row, changes)
